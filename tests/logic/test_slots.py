"""Which variables of a query stand for images, and that the program then says what it should."""

import pytest
from small_programs import DIGITS, circuit_of, program_of

from nesy_gedi.logic.program import ProgramError

USE = ":- use_module(library(lists)).\n:- use_module(library(apply)).\n"
SUM = "total([], 0).\ntotal([X|Xs], S) :- total(Xs, R), digit(X, A), S is R + A.\n"
ALL = "ones([]).\nones([X|Xs]) :- digit(X, 1), ones(Xs).\n"


def split(query, rules, networks=DIGITS):
    program = program_of(networks + USE + rules, query)
    return " ".join(map(str, program.slots)), " ".join(map(str, program.symbols))


@pytest.mark.parametrize(
    ("query", "rules", "slots", "symbols", "counts"),
    [
        # through heads
        ("digit(X, A)", "", "X", "A", [1, 1, 1, 1]),
        ("digit(X, 3)", "", "X", "", [1]),
        ("digit(img, A)", "", "", "A", [1, 1, 1, 1]),
        ("p(A, X)", "p(A, X) :- q(X, A).\nq(Y, B) :- r(B, Y).\nr(C, Z) :- digit(Z, C).", "X", "A", [1] * 4),
        ("p(X, Y)", "p(X, Y) :- digit(X, A), q(Y, A).\nq(1, 1). q(3, 2).", "X", "Y", [1, 1]),
        ("p(X, Y)", "p(X, 0) :- digit(X, 0).\np(X, A) :- digit(X, A), A > 1.", "X", "Y", [1, 1, 1]),
        ("p(Y, X)", "p(X, _) :- digit(X, 0).\np(_, Y) :- digit(Y, 0).", "Y X", "", [7]),
        ("p(X, Y)", "p(X, X) :- digit(X, 0).\np(X, Y) :- p(X), p(Y).\np(X) :- digit(X, 1).", "X Y", "", [1]),
        ("p(X, X)",
         "p(X, Y) :- digit(X, A), digit(Y, B), A =:= 3 - B, A < 9.\np(X, Y) :- digit(X, 1), digit(Y, 1).",
         "X", "", [1]),
        ("p(X, Y, A)", "p(X, Y, A) :- \\+ q(X), digit(Y, A).\nq(X) :- digit(X, 0).", "X Y", "A", [3] * 4),
        ("p(X, Y)", "p(X, Y) :- (fail ; digit(X, 1)), (q(Y) ; digit(Y, 1)).\nq(Y) :- digit(Y, 2).",
         "X Y", "", [2]),
        # through equality
        ("p(X, A)", "p(X, A) :- Z = X, W = Z, digit(W, A).", "X", "A", [1] * 4),
        ("p(X, A)", "p(X, A) :- digit(W, A), X = W.", "X", "A", None),
        ("p([X, Y], A)", "p(L, A) :- L = [_, Z], digit(Z, A).", "X Y", "A", [4] * 4),
        ("p([X, Y], A)", "p(L, A) :- [H|T] = L, q(T), digit(H, A).\nq([Z]) :- digit(Z, 0).",
         "X Y", "A", [1] * 4),
        ("p(X, Y, A)", "p(X, Y, A) :- f(X, Y) = T, q(T, A).\nq(f(U, V), A) :- digit(U, A), digit(V, A).",
         "X Y", "A", [1] * 4),
        # through lists and terms
        ("total([X, Y, Z], S)", SUM, "X Y Z", "S", [1, 3, 6, 10, 12, 12, 10, 6, 3, 1]),
        ("total([X, i, X], 3)", SUM, "X", "", [2]),
        ("total([], S)", SUM, "", "S", [1]),
        ("p([[A, B], [C, D]], [E])",
         ALL + "p(Rows, Row) :- ones(Row), q(Rows).\nq([]).\nq([R|Rs]) :- ones(R), q(Rs).",
         "A B C D E", "", [1]),
        ("p([A, B], N)", "p([H|_], N) :- digit(H, N).", "A B", "N", [4] * 4),
        ("p(pair(A, B), f(N))", "p(pair(X, Y), f(N)) :- digit(X, N), digit(Y, N).", "A B", "N", [1] * 4),
        ("p(g([A], B), N)", "p(g(L, X), N) :- total([X|L], N).\n" + SUM, "A B", "N", [1, 2, 3, 4, 3, 2, 1]),
        # through the library
        ("p([A, B])", "p(L) :- member(X, L), digit(X, 1).", "A B", "", [7]),
        ("p([A, B], I, N)", "p(L, I, N) :- nth0(I, L, X), digit(X, N).", "A B", "I N", [4] * 8),
        ("p([A, B], N)", "p(L, N) :- nth1(2, L, X), digit(X, N).", "A B", "N", [4] * 4),
        ("p([A], [B])", "p(L, M) :- append(L, M, N), ones(N).\n" + ALL, "A B", "", [1]),
        ("p([A, B, C])", "p(L) :- append([_], M, L), ones(M).\n" + ALL, "A B C", "", [4]),
        ("p([A, B], N)", "p(L, N) :- reverse(L, [X|_]), digit(X, N).", "A B", "N", [4] * 4),
        ("p([A, B], N)", "p(L, N) :- last(L, X), digit(X, N).", "A B", "N", [4] * 4),
        ("p([A, B])", "p(L) :- permutation(L, [X, Y]), digit(X, 0), digit(Y, 3).", "A B", "", [2]),
        ("p([A, B, C])", "p(L) :- select(X, L, R), digit(X, 0), ones(R).\n" + ALL, "A B C", "", [3]),
        ("p([A, B])", "p(L) :- maplist(one, L).\none(X) :- digit(X, 1).", "A B", "", [1]),
        ("p([A, B], Ns)", "p(L, Ns) :- maplist(digit, L, Ns), Ns = [1, _].", "A B", "Ns", [1] * 4),
        ("p([A, B], [C, D])",
         "p(L, M) :- maplist(next, L, M).\nnext(X, Y) :- digit(X, A), B is A + 1, digit(Y, B).",
         "A B C D", "", [9]),
        ("p(X, [A, B])", "p(X, L) :- maplist(less(X), L).\nless(X, Y) :- digit(X, A), digit(Y, B), A < B.",
         "X A B", "", [14]),
        ("p([A, B], S)", "p(L, S) :- foldl(add, L, 0, S).\nadd(X, S, T) :- digit(X, A), T is S + A.",
         "A B", "S", [1, 2, 3, 4, 3, 2, 1]),
        ("p([A, B], Y, S)",
         "p(L, Y, S) :- foldl(a(Y), L, 0, S).\na(Y, X, S, T) :- digit(X, A), digit(Y, B), T is S + A * B.",
         "A B Y", "S", None),
        ("p([A, B, C])", "p([F|L]) :- foldl(up, L, F, _).\nup(X, P, X) :- digit(X, A), digit(P, B), B < A.",
         "A B C", "", [4]),
        # through goals that are made
        ("p(X, A)", "p(X, A) :- call(digit, X, A).", "X", "A", [1] * 4),
        ("p(X, A)", "p(X, A) :- call(digit(X), A).", "X", "A", [1] * 4),
        ("p(X, A)", "p(X, A) :- once(digit(X, A)).", "X", "A", None),
        ("p(X, Y)",
         "p(X, Y) :- findall(A, q(X, Y, A), [_, _]).\nq(X, _, A) :- digit(X, A).\nq(_, Y, A) :- digit(Y, A).",
         "X Y", "", None),
        ("p([A, B, C])", "p(L) :- findall(X, member(X, L), [_|M]), ones(M).\n" + ALL, "A B C", "", [4]),
        ("p(X, Y)", "p(X, Y) :- findall(X, fail, L), q(L, Y).\nq(_, Y) :- digit(Y, 0).", "Y", "X", None),
        ("p(X, Y)", "p(X, Y) :- forall(q(X, A), digit(Y, A)).\nq(X, A) :- digit(X, A), A > 2.",
         "X Y", "", None),
    ],
)  # fmt: skip
def test_images_are_what_reaches_a_network(query, rules, slots, symbols, counts):
    """Also how many readings give each answer: what is no slot would not be found."""
    assert split(query, rules) == (slots, symbols)
    if counts is not None:
        assert circuit_of(DIGITS + USE + rules, query).compiled.circuit.counts() == counts


@pytest.mark.parametrize(
    ("query", "rules", "networks", "slots", "symbols"),
    [
        ("p(A, B)", "p(A, B) :- shown(A, B).", "nn(net, [X], Y, [a, b]) :: shown(Y, X).\n", "B", "A"),
        ("near(A, B, C)", "", "nn(net, [X, Y], C, [a, b]) :: near(X, Y, C).\n", "A B", "C"),
        ("near(A, B, C)", "", "nn(net, [X, Z], Y, [a, b]) :: near(X, Y, Z).\n", "A C", "B"),
        ("even(A)", "", "nn(net, [X]) :: even(X).\n", "A", ""),
        ("who(A)", "", "nn(net, [camera], Y, [a, b]) :: who(Y).\n", "", "A"),
        ("p(X, A)", "p(X, A) :- known(X, A).", "nn(observed, [X], Y, [a, b]) :: known(X, Y).\n", "X", "A"),
        ("s(X, W, A)", "ok(W) :- s(W, 1).",
         "nn(n, [X], Y, [1, 2]) :: s(X, Y).\nnn(m, [X], Y, [1]) :: s(X, W, Y) :- ok(W).\n",
         "X W", "A"),
        ("p(X, T)", "p(X, T) :- even(X, T).\nt(0.3) :: even(X, T) :- digit(X, A), T is A mod 2.",
         DIGITS, "X", "T"),
        ("p(X, T)", "p(X, T) :- lost(X), T = 1.\n0.2 :: lost(X); 0.1 :: found(X) :- digit(X, 1).",
         DIGITS, "X", "T"),
        ("p(X)", "p(X) :- digit(X).\ndigit(a).", DIGITS, "", "X"),
    ],
)  # fmt: skip
def test_networks_and_probabilistic_clauses_pass_images_on(query, rules, networks, slots, symbols):
    assert split(query, rules, networks) == (slots, symbols)
    circuit_of(networks + rules, query)


@pytest.mark.parametrize(
    ("query", "rules", "variable"),
    [
        ("total(L, S)", SUM, "L"),
        ("total([A|T], S)", SUM, "T"),
        ("p([[A], R|Rs])", "p([]).\np([R|Rs]) :- ones(R), p(Rs).\n" + ALL, "R"),
        ("p([[A], [B]|Rs])", "p([]).\np([R|Rs]) :- ones(R), p(Rs).\n" + ALL, "Rs"),
        ("p(X, M)", "p(X, M) :- append([X], M, N), ones(N).\n" + ALL, "M"),
        ("p(L)", "p(L) :- maplist(one, L).\none(X) :- digit(X, 1).", "L"),
        ("p(L)", "p(L) :- member(X, L), digit(X, 1).", "L"),
    ],
)
def test_lists_of_no_known_length_are_refused(query, rules, variable):
    with pytest.raises(ProgramError, match=rf"1:1: {variable} in .* list of images of no known length"):
        program_of(DIGITS + USE + rules, query)


def test_names_of_slots_are_those_of_the_query_and_constants_follow():
    rules = "p(L, M) :- member(X, L), member(Y, M), eq(X, Y), eq(Y, zebra), eq(Y, f(1)).\n"
    rules += "eq(X, Y) :- digit(X, A), digit(Y, A)."
    circuit = circuit_of(DIGITS + USE + rules, "p([Second, First], [Third])")
    assert circuit.slots[:3] == ("Second", "First", "Third")
    assert set(circuit.slots[3:]) == {"zebra", "f(1)"}
    assert circuit.networks["net"].slots == ((0,), (1,), (2,), (3,), (4,))
