% MNAdd-Half of rsbench: labelled addition of the digits 0 to 4, of which the examples show four pairs only.
% (Bortolotti et al., "A Neuro-Symbolic Benchmark Suite for Concept Quality and Reasoning Shortcuts",
% NeurIPS 2024.) The facts support/2 list the pairs that examples are drawn from; the query ignores them. They
% stand in one order; the other order would add no information.
% Data: pairs of images of the digits 0 to 4 (MNIST), each labelled with its sum, 0 to 8. 1 to 5 of the
% 25 readings give a label.
% Reasoning shortcuts: 3 of the 3,125 maps of digits to digits keep every example true, 1 of them one-to-one:
% the truth; 2 read as 3, 3 as 2 and 4 as 3; 2 read as 4, 3 as 1 and 4 as 2. 0 and 1 are never mistaken.
% Expect: learnable without labels of single images only with clusters that hold one digit each.
nn(mnist_net, [X], Y, [0,1,2,3,4]) :: digit(X, Y).

query(addition(X, Y, Z)).

addition(X, Y, Z) :- digit(X, A), digit(Y, B), Z is A + B.

support(0, 0).  support(0, 1).  support(2, 3).  support(2, 4).
