% Labelled addition: Z is the sum, a number from 0 to 18, of the digits on two images.
% Data: pairs of images of single digits (MNIST), each labelled with its sum. Every pair of digits has one
% sum; 1 to 10 of the 100 readings give a label.
% Reasoning shortcuts: none. 1 of the 10,000,000,000 maps of digits to digits keeps every example true: two
% images of one digit give its double.
% Expect: learnable without labels of single images, and without clusters.
nn(mnist_net, [X], Y, [0,1,2,3,4,5,6,7,8,9]) :: digit(X, Y).
addition(X, Y, Z) :- digit(X, A), digit(Y, B), Z is A + B.
