% Product modulo ten: the third image shows the last digit of the product of the first two.
% Data: triples of images of single digits (MNIST), no labels. 100 of the 1,000 readings satisfy it.
% Reasoning shortcuts: 55 of the 10,000,000,000 maps of digits to digits keep every example true, 2 of
% them one-to-one: the truth, and its cube modulo ten, which swaps 2 with 8 and 3 with 7. Everything read as
% 0, as 1, as 5 or as 6 are four of the others.
% Expect: not learnable without labels. With clusters that hold one digit each, 0, 1, 4, 5, 6 and 9 get their
% names; 2, 3, 7 and 8 get them with one chance in two, all four or none.
nn(mnist_net, [X], Y, [0,1,2,3,4,5,6,7,8,9]) :: digit(X, Y).
product(X, Y, Z) :- digit(X, A), digit(Y, B), C is (A * B) mod 10, digit(Z, C).
