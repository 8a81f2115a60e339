% Less than: the first image shows a smaller digit than the second.
% Data: pairs of images of single digits (MNIST), no labels. 45 of the 100 readings satisfy it.
% Reasoning shortcuts: none. 1 of the 10,000,000,000 maps of digits to digits keeps every example true: the
% examples order all ten digits, and ten digits in order have one name each.
% Expect: learnable without labels.
nn(mnist_net, [X], Y, [0,1,2,3,4,5,6,7,8,9]) :: digit(X, Y).
less_than(X, Y) :- digit(X, A), digit(Y, B), A < B.
