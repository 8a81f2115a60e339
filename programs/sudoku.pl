% Visual sudoku of four by four: every row, column and two-by-two box holds the digits 1 to 4 once each.
% The query takes four rows of four images.
% Data: images of the digits 1, 2, 3 and 4 (MNIST) in grids of sixteen, no labels. 288 of the 4,294,967,296
% readings satisfy it.
% Reasoning shortcuts: 24 of the 256 maps of digits to digits keep every example true, 24 of them
% one-to-one: every renaming of the four digits, and nothing that merges two.
% Expect: clusters are learnable without labels, names are not: one chance in 24.
nn(mnist_net, [X], Y, [1,2,3,4]) :: digit(X, Y).

query(sudoku([A1,A2,A3,A4], [B1,B2,B3,B4], [C1,C2,C3,C4], [D1,D2,D3,D4])).

% Two bands of two rows each, whose rows and boxes are right. Then the columns are right as soon as the first
% and the third are, because the second holds in either band what the first lacks there, and the fourth what
% the third lacks. The product tells two different digits of 1 to 4 from any other two; all four make 24.
sudoku(As, Bs, Cs, Ds) :-
    band(As, Bs, First, Third), band(Cs, Ds, First2, Third2),
    First * First2 =:= 24, Third * Third2 =:= 24.

% Two rows: where the upper one and both boxes hold four different digits, the lower one does so by itself.
band([X1,X2,X3,X4], [Y1,Y2,Y3,Y4], First, Third) :-
    two(X1, X2, A, B), two(X3, X4, C, D), others(A, B, C, D),
    two(Y1, Y2, E, F), others(A, B, E, F), two(Y3, Y4, G, H), others(C, D, G, H),
    First is A * E, Third is C * G.

two(X, Y, A, B) :- digit(X, A), digit(Y, B), B =\= A.

others(A, B, C, D) :- A =\= C, A =\= D, B =\= C, B =\= D.
