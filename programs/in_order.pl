% In order: three images show digits that grow strictly from left to right.
% Data: triples of images of single digits (MNIST), no labels. 120 of the 1,000 readings satisfy it.
% Reasoning shortcuts: none. 1 of the 10,000,000,000 maps of digits to digits keeps every example true: any
% two digits stand in some triple, so their order is known.
% Expect: learnable without labels.
nn(mnist_net, [X], Y, [0,1,2,3,4,5,6,7,8,9]) :: digit(X, Y).
in_order(X, Y, Z) :- digit(X, A), digit(Y, B), A < B, digit(Z, C), B < C.
