% Addition: the third image shows the sum of the digits on the first two.
% Data: triples of images of single digits (MNIST), no labels. 55 of the 1,000 readings satisfy it.
% Reasoning shortcuts: 2 of the 10,000,000,000 maps of digits to digits keep every example true, 1 of
% them one-to-one: the truth, and "every digit is zero", which is where training on this alone ends up.
% Expect: learnable without labels once clusters hold one digit each; then their names follow.
nn(mnist_net, [X], Y, [0,1,2,3,4,5,6,7,8,9]) :: digit(X, Y).
addition(X, Y, Z) :- digit(X, A), digit(Y, B), digit(Z, C), C is A + B.
