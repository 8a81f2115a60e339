% Addition of numbers with several digits, with carries: the third number is the sum of the first two.
% Numbers are lists of digits, the most significant first, both of one length; the sum has one digit more.
% For numbers of three digits: query(addition([A1,A2,A3], [B1,B2,B3], [S1,S2,S3,S4])).
% Data: images of single digits (MNIST) for the two numbers; the digits of the sum are labels, fed to the
% network `observed` as one-hot vectors. 10,000 of the 10,000,000 readings of the default query, two digits
% each, satisfy it: every reading of the four images has one sum.
% Reasoning shortcuts: none. 1 of the 10,000,000,000 maps of digits to digits keeps every example true.
% Expect: learnable without labels of single images, and without clusters. Columns are worked off from the
% right. Only the carry passes from one to the next, so what is grounded is linear in the number of columns.
nn(mnist_net, [X], Y, [0,1,2,3,4,5,6,7,8,9]) :: digit(X, Y).
nn(observed, [Z], V, [0,1,2,3,4,5,6,7,8,9]) :: known(Z, V).

query(addition([A1,A2], [B1,B2], [S1,S2,S3])).

addition(Xs, Ys, [Z|Zs]) :- columns(Xs, Ys, Zs, Carry), known(Z, Carry).

columns([], [], [], 0).
columns([X|Xs], [Y|Ys], [Z|Zs], Carry) :-
    columns(Xs, Ys, Zs, Before), total(X, Y, T),
    V is (T + Before) mod 10, Carry is (T + Before) // 10, known(Z, V).

total(X, Y, T) :- digit(X, A), digit(Y, B), T is A + B.
