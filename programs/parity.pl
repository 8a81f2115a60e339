% Parity: P says whether the sum of the digits on two images is even or odd.
% Data: pairs of images of single digits (MNIST), each labelled `even` or `odd`. 50 of the 100 readings
% give either label.
% Reasoning shortcuts: 19,531,250 of the 10,000,000,000 maps of digits to digits keep every example true,
% 28,800 of them one-to-one: all that take even digits to even ones and odd to odd, or even to odd and odd to
% even.
% Expect: not learnable without labels; which digits share a parity can be learned, not which are even.
nn(mnist_net, [X], Y, [0,1,2,3,4,5,6,7,8,9]) :: digit(X, Y).
parity(X, Y, P) :- remainder(X, A), remainder(Y, B), N is (A + B) mod 2, called(N, P).

remainder(X, N) :- digit(X, D), N is D mod 2.

called(0, even).
called(1, odd).
