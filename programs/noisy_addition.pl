% Noisy addition: labelled addition in which a label may be wrong. With a learnable probability, 0.2 at the
% start, it is not the sum but any of 0 to 18, each as likely.
% Data: pairs of images of single digits (MNIST), each labelled with a number from 0 to 18. All 100 of the
% 100 readings are possible for every label; 1 to 10 of them without noise.
% Reasoning shortcuts: none in the limit of many examples. Any map of digits to digits is possible, but the
% truth with the true noise is the only one that gives the labels their true distribution, unless every label
% is noise. Without noise this is labelled_addition.pl, and 1 of the 10,000,000,000 maps is left.
% Expect: learnable without labels of single images; the probability goes to the share of replaced labels,
% 19/18 of the share of wrong ones.
nn(mnist_net, [X], Y, [0,1,2,3,4,5,6,7,8,9]) :: digit(X, Y).

t(0.2) :: noisy.

1/19 :: replaced(0); 1/19 :: replaced(1); 1/19 :: replaced(2); 1/19 :: replaced(3); 1/19 :: replaced(4);
1/19 :: replaced(5); 1/19 :: replaced(6); 1/19 :: replaced(7); 1/19 :: replaced(8); 1/19 :: replaced(9);
1/19 :: replaced(10); 1/19 :: replaced(11); 1/19 :: replaced(12); 1/19 :: replaced(13); 1/19 :: replaced(14);
1/19 :: replaced(15); 1/19 :: replaced(16); 1/19 :: replaced(17); 1/19 :: replaced(18).

addition(X, Y, Z) :- \+ noisy, digit(X, A), digit(Y, B), Z is A + B.
addition(_, _, Z) :- noisy, replaced(Z).
