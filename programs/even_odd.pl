% MNAdd-EvenOdd of rsbench: labelled addition of which the examples show eight pairs only, of two even digits
% or of two odd ones. (Bortolotti et al., "A Neuro-Symbolic Benchmark Suite for Concept Quality and Reasoning
% Shortcuts", NeurIPS 2024.) The facts support/2 list the pairs that examples are drawn from; the query
% ignores them. They stand in one order; the other order would add no information.
% Data: pairs of images of single digits (MNIST), each labelled with its sum; 1 to 10 of the 100 readings
% give a label.
% Reasoning shortcuts: 36 of the 10,000,000,000 maps of digits to digits keep every example true, 2 of them
% one-to-one: the reading of 4 as one of 4 to 9 settles all even digits, that of 3 as one of 3 to 8 all odd
% ones. One-to-one are the truth, and five more than the truth modulo ten: 0 read as 5, 1 as 6, ..., 9 as 4.
% Expect: not learnable without labels; with clusters that hold one digit each, one chance in two.
nn(mnist_net, [X], Y, [0,1,2,3,4,5,6,7,8,9]) :: digit(X, Y).

query(addition(X, Y, Z)).

addition(X, Y, Z) :- digit(X, A), digit(Y, B), Z is A + B.

support(0, 6).  support(2, 8).  support(4, 6).  support(4, 8).
support(1, 5).  support(3, 7).  support(1, 9).  support(3, 9).
