% Addition: the third picture shows the sum of the digits on the first two.
% Data: triples of images of single digits (MNIST). 55 of the 1000 readings of a triple satisfy it.
nn(mnist_net, [X], Y, [0,1,2,3,4,5,6,7,8,9]) :: digit(X, Y).
addition(X, Y, Z) :- digit(X, A), digit(Y, B), digit(Z, C), C is A + B.
