% All different: four images show the digits 0 to 3, each once, in any order.
% Data: images of the digits 0, 1, 2 and 3 (MNIST) in fours, no labels. 24 of the 256 readings satisfy it.
% Reasoning shortcuts: 24 of the 256 maps of digits to digits keep every example true, 24 of them
% one-to-one: every renaming of the four digits, and nothing that merges two.
% Expect: clusters are learnable without labels, names are not: one chance in 24.
nn(mnist_net, [X], Y, [0,1,2,3]) :: digit(X, Y).
all_different(X, Y, Z, W) :-
    digit(X, A), digit(Y, B), B =\= A, digit(Z, C), C =\= A, C =\= B,
    digit(W, D), D =\= A, D =\= B, D =\= C.
