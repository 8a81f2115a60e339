% Subtraction: the third image shows the first digit minus the second, which is never negative.
% Data: triples of images of single digits (MNIST), no labels. 55 of the 1,000 readings satisfy it.
% Reasoning shortcuts: 2 of the 10,000,000,000 maps of digits to digits keep every example true, 1 of
% them one-to-one: the truth, and "every digit is zero". It is the addition with its images in another order.
% Expect: learnable without labels once clusters hold one digit each.
nn(mnist_net, [X], Y, [0,1,2,3,4,5,6,7,8,9]) :: digit(X, Y).
subtraction(X, Y, Z) :- digit(X, A), digit(Y, B), C is A - B, digit(Z, C).
