% Sum of many: S is the sum of the digits on a list of images, as long as you like.
% For six images: query(sum([A,B,C,D,E,F], S)).
% Data: lists of images of single digits (MNIST), each labelled with its sum: 0 to 36 for the default query of
% four, of which 1 to 670 of the 10,000 readings give a label.
% Reasoning shortcuts: none. 1 of the 10,000,000,000 maps of digits to digits keeps every example true: images
% of one digit give its multiple.
% Expect: learnable without labels of single images; the longer the list, the less a sum says about one of
% them. The sum of the rest is found once, so what is grounded grows with the square of the length.
nn(mnist_net, [X], Y, [0,1,2,3,4,5,6,7,8,9]) :: digit(X, Y).

query(sum([A,B,C,D], S)).

sum([], 0).
sum([X|Xs], S) :- sum(Xs, Rest), digit(X, D), S is Rest + D.
