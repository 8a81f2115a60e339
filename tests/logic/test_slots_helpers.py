"""Images that a program's own helpers hand on, and goals that are made: slots, and what ProbLog says.

ProbLog's witness is the same program with annotated disjunctions in the place of the network.
"""

import re

import pytest
import torch
from problog import get_evaluatable
from problog.program import PrologString
from small_programs import DIGITS, circuit_of, program_of, random_log_probs

from nesy_gedi.logic.program import ProgramError

USE = ":- use_module(library(lists)).\n:- use_module(library(apply)).\n"
MEM = "mem(X, [X|_]).\nmem(X, [_|T]) :- mem(X, T).\n"
PAIR = "pair(X, Y, pr(X, Y)).\n"
APPEND = "app([], L, L).\napp([X|L], M, [X|N]) :- app(L, M, N).\n"
REVERSE = "rev(L, R) :- rev(L, [], R).\nrev([], A, A).\nrev([X|L], A, R) :- rev(L, [X|A], R).\n"
ONE = "one(I) :- digit(I, 1).\n"
SUM = "total([], 0).\ntotal([X|Xs], S) :- total(Xs, R), digit(X, A), S is R + A.\n"
GRAPH = """
edge(X, Y, Z, a, b, X). edge(X, Y, Z, b, c, Y). edge(X, Y, Z, c, a, Z).
edge(X, Y, Z, c, d, Z). edge(X, Y, Z, a, d, Y).
con(X, Y, Z, U, V) :- edge(X, Y, Z, U, V, I), digit(I, 1).
con(X, Y, Z, U, W) :- edge(X, Y, Z, U, V, I), digit(I, 1), con(X, Y, Z, V, W).
"""
TREE = """
value(img(I), N) :- digit(I, N).
value(N, N) :- number(N).
value(plus(L, R), N) :- value(L, A), value(R, B), N is A + B.
"""

HELPERS = [
    ("p([A, B])", MEM + "p(L) :- mem(I, L), digit(I, 1).", "A B", ""),
    ("p([A, B, C], N)", MEM + "p(L, N) :- mem(I, L), digit(I, N), mem(N, [1, 2]).", "A B C", "N"),
    ("p([A, B], N)", MEM + "p(L, N) :- mem(N, [1, 2]), mem(I, L), digit(I, N).", "A B", "N"),
    ("p([A, B], 3)", MEM + "p(L, N) :- mem(I, L), \\+ digit(I, N).", "A B", ""),
    ("p(X, Y)", PAIR + "q(pr(A, B)) :- digit(A, 1), digit(B, 0).\np(X, Y) :- pair(X, Y, P), q(P).",
     "X Y", ""),
    ("p(X, N)", PAIR + "q(pr(A, M)) :- digit(A, M).\np(X, N) :- pair(X, N, P), q(P).", "X", "N"),
    ("p(X, N)", PAIR + "q(P) :- P = pr(A, M), digit(A, M).\np(X, N) :- pair(Y, N, P), X = Y, q(P).",
     "X", "N"),
    ("p(X, N)", "swap(X, Y, Y, X).\np(X, N) :- swap(X, N, M, Y), digit(Y, M).", "X", "N"),
    ("p(X, Y, Z)", "swap(X, Y, Y, X).\np(X, Y, Z) :- swap(X, Y, A, B), less(A, B), swap(Z, X, _, I), "
     "less(B, I).\nless(X, Y) :- digit(X, A), digit(Y, B), A < B.", "X Y Z", ""),
    ("p(X, N)", "same(X, X).\np(X, N) :- same(X, Y), same(N, M), digit(Y, M).", "X", "N"),
    ("p([A, B], N)", "first([X|_], X).\np(L, N) :- first(L, X), digit(X, N).", "A B", "N"),
    ("p(A, B, N)", "first([X|_], X).\np(A, B, N) :- first([A, B], X), digit(X, N).", "A B", "N"),
    ("p(A, B)", "left(f(X, _), X).\np(A, B) :- left(f(A, B), X), digit(X, 1).", "A B", ""),
    ("p([A], [B, C], S)", APPEND + SUM + "p(L, M, S) :- app(L, M, N), total(N, S).", "A B C", "S"),
    ("p([A, B, C], S)", APPEND + SUM + "p(L, S) :- app([_], M, L), app(M, [], N), total(N, S).",
     "A B C", "S"),
    ("p([A, B, C], N)", REVERSE + "p(L, N) :- rev(L, [X|_]), digit(X, N).", "A B C", "N"),
    ("p([A, B], [N, M])", REVERSE + "p(L, K) :- rev(L, [X, Y]), rev(K, [A, B]), digit(X, A), digit(Y, B).",
     "A B", "N M"),
    ("con(X, Y, Z, a, d)", GRAPH, "X Y Z", ""),
    ("con(X, Y, Z, b, V)", GRAPH, "X Y Z", "V"),
    ("p(X, Y)", "p(X, Y) :- r(X, Y, 3).\nr(X, _, 0) :- digit(X, 1).\n"
     "r(X, Y, N) :- N > 0, M is N - 1, r(Y, X, M).", "X Y", ""),
    ("p(X, Y)", "p(X, Y) :- even([X, Y], I), digit(I, 1).\neven([X|_], X).\neven([_|L], I) :- odd(L, I).\n"
     "odd([X|_], X).\nodd([_|L], I) :- even(L, I).", "X Y", ""),
    ("p([A, B], C)", ONE + "p(L, C) :- include(one, L, M), app(M, [C], N), total(N, 3).\n" + APPEND + SUM,
     "A B C", ""),
    ("p([A, B, C])", ONE + "p(L) :- include(one, L, [_, _]).", "A B C", ""),
    ("p([A, B], N)", ONE + "p(L, N) :- exclude(one, L, M), total(M, N).\n" + SUM, "A B", "N"),
    ("p([A, B, C], N)", ONE + "p(L, N) :- partition(one, L, [_, _], M), total(M, N).\n" + SUM, "A B C", "N"),
    ("p([A, B], C)", "p(L, C) :- include(like(C), L, [_]).\nlike(X, Y) :- digit(X, A), digit(Y, A).",
     "A B C", ""),
]  # fmt: skip

MADE = [
    ("p(X)", "p(X) :- G = digit(X, 1), call(G).", "X", ""),
    ("p(X, N)", "p(X, N) :- H = G, G = digit(X), call(H, N).", "X", "N"),
    ("p(X)", "p(X) :- G = digit(X, 1), \\+ G.", "X", ""),
    ("p(X)", "p(X) :- G =.. [digit, X, 1], call(G).", "X", ""),
    ("p(X, N)", "p(X, N) :- G =.. [digit, X], call(G, N).", "X", "N"),
    ("p(X, Y)", "p(X, Y) :- T =.. [pr, X, Y], q(T).\nq(pr(A, B)) :- digit(A, 1), digit(B, 0).", "X Y", ""),
    ("p(X)", "p(X) :- ap(digit(X, 1), [_]).\nap(G, L) :- findall(x, G, L).", "X", ""),
    ("p([A, B])", MEM + "p(L) :- ap((mem(X, L), digit(X, 1)), [_]).\nap(G, L) :- findall(x, G, L).",
     "A B", ""),
    ("p([A, B])", "p(L) :- q(digit, L).\nq(P, L) :- maplist(P, L, [1, 1]).", "A B", ""),
    ("p([A, B], Ns)", "p(L, Ns) :- map(digit, L, Ns), Ns = [1, _].\nmap(_, [], []).\n"
     "map(P, [X|L], [Y|M]) :- call(P, X, Y), map(P, L, M).", "A B", "Ns"),
    ("p([A, B])", "p(L) :- run([one(L), two(L)]).\nrun([]).\nrun([G|Gs]) :- G, run(Gs).\n"
     "one([X|_]) :- digit(X, 1).\ntwo([_, X]) :- digit(X, 2).", "A B", ""),
    ("p(X)", "p(X) :- test(T), call(T, X).\ntest(one).\n" + ONE, "X", ""),
    ("p([A, B], [C, D])", REVERSE + "p(L, M) :- maplist(rev, [L, M], [[X|_], [Y|_]]), less(X, Y).\n"
     "less(X, Y) :- digit(X, A), digit(Y, B), A < B.", "A B C D", ""),
]  # fmt: skip

SYMBOLS = [
    ("p(X, Y, Z)", "p(X, Y, Z) :- digit(X, A), digit(Y, B), Z is A + B.", "X Y", "Z"),
    ("p(X, Y, Z)", "p(X, Y, Z) :- digit(X, A), digit(Y, B), carry(A, B, Z).\n"
     "carry(A, B, C) :- C is (A + B) // 4.", "X Y", "Z"),
    ("p(X, Y, Z)", "p(X, Y, Z) :- digit(X, A), digit(Y, B), and(A, B, Z).\nand(0, 0, 0). and(1, 1, 1).",
     "X Y", "Z"),
    ("p(X, P)", "p(X, P) :- digit(X, A), N is A mod 2, called(N, P).\ncalled(0, even). called(1, odd).",
     "X", "P"),
    ("p(X, N)", "same(A, A).\np(X, N) :- digit(X, M), same(M, N).", "X", "N"),
    ("p([X, N])", "p([X, N]) :- digit(X, N).", "X", "N"),
    ("p([X, N])", "p([X, N]) :- digit(X, M), N is M + 1.", "X", "N"),
    ("p(f(X, N), M)", "p(f(X, N), M) :- q(N, M), digit(X, M).\nq(1, 2). q(3, 0).", "X", "N M"),
    ("p([f(A, N), f(B, M)])", "p([f(A, N), f(B, M)]) :- digit(A, N), digit(B, M), N < M.", "A B", "N M"),
    ("p([A, B], N, M)", MEM + "p(L, N, M) :- mem(I, L), mem(N, [1, 2]), mem(M, [N]), digit(I, N).",
     "A B", "N M"),
    ("p([A, B], N)", "p(L, N) :- length(L, N), last(L, I), digit(I, N).", "A B", "N"),
    ("value(plus(img(A), plus(2, img(B))), N)", TREE, "A B", "N"),
    ("v(X, N)", "v(N, N) :- N = 7.\nv(I, N) :- digit(I, N).", "X", "N"),
    ("p(I, N)", "p(I, N) :- between(1, 2, I), digit(I, N).", "", "I N"),
    ("p(I, N)", "p(I, N) :- some(I), digit(I, N), M is N + 1, M > I.\nsome(1). some(2).", "", "I N"),
    ("p([A, B], S)", "p(L, S) :- run(L, s0, S).\nrun([], S, S).\n"
     "run([I|L], R, T) :- digit(I, D), go(R, D, S), run(L, S, T).\n"
     "go(s0, D, s1) :- D > 1.\ngo(s0, D, s0) :- D < 2.\ngo(s1, _, s1).", "A B", "S"),
    ("p(X, K)", "p(X, K) :- kind(K, G), call(G, X).\nkind(low, two).\nkind(lowest, one).\n"
     "two(X) :- digit(X, 2).\n" + ONE,
     "X", "K"),
]  # fmt: skip


def by_problog(text, program, log_probs):
    """Probabilities of the query's answers by ProbLog, by the symbols' values."""
    images = {str(slot): f"image_{str(slot).lower()}" for slot in program.slots}
    names = list(images.values()) or ["1", "2"]
    rows = [
        "; ".join(f"{p:.12f}::digit({image}, {k})" for k, p in enumerate(row.exp().tolist()))
        for image, row in zip(names, log_probs, strict=True)
    ]
    query = re.sub(r"\b[A-Z]\w*\b", lambda match: images.get(match[0], match[0]), str(program.query))
    symbols = ", ".join(map(str, program.symbols))
    lines = [*(f"{row}." for row in rows), text, f"answer([{symbols}]) :- {query}.", "query(answer(_))."]
    results = get_evaluatable().create_from(PrologString("\n".join(lines))).evaluate()
    return {str(atom.args[0]).replace(" ", ""): p for atom, p in results.items() if p > 0}


@pytest.mark.parametrize(("query", "rules", "slots", "symbols"), HELPERS + MADE + SYMBOLS)
def test_slots_and_probabilities_equal_problog(query, rules, slots, symbols):
    program = program_of(DIGITS + USE + rules, query)
    assert " ".join(map(str, program.slots)) == slots
    assert " ".join(map(str, program.symbols)) == symbols
    circuit = circuit_of(DIGITS + USE + rules, query)
    table = random_log_probs(3, len(program.slots) or 2, 4)
    expected = by_problog(USE + rules, program, table)
    read = [slot for (slot,) in circuit.networks["net"].slots]
    values = circuit({"net": table[read].unsqueeze(0)})[0].exp()
    found = dict(zip(circuit.answers or [""], values.reshape(-1).tolist(), strict=True))
    found = {f"[{answer}]".replace(" ", ""): p for answer, p in found.items() if p > 0}
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("query", "rules", "closed_form"),
    [
        ("p([A, B])", MEM + "p(L) :- mem(I, L), digit(I, 1).", lambda a, b: 1 - (1 - a[1]) * (1 - b[1])),
        ("p(A, B)", PAIR + "q(pr(A, B)) :- digit(A, 1), digit(B, 0).\np(X, Y) :- pair(X, Y, P), q(P).",
         lambda a, b: a[1] * b[0]),
        ("p([A, B])", ONE + "p(L) :- partition(one, L, [_], [_]).",
         lambda a, b: a[1] * (1 - b[1]) + b[1] * (1 - a[1])),
        ("p([A, B])", "p(L) :- q(digit, L).\nq(P, L) :- maplist(P, L, [1, 1]).", lambda a, b: a[1] * b[1]),
    ],
)  # fmt: skip
def test_probabilities_equal_closed_forms(query, rules, closed_form):
    table = random_log_probs(5, 2, 4)
    value = circuit_of(DIGITS + USE + rules, query)({"net": table.unsqueeze(0)}).exp()
    torch.testing.assert_close(value.squeeze(), closed_form(*table.exp()))


def test_helpers_that_nobody_can_type_end():
    """A goal that calls itself with itself, and terms that hold themselves."""
    rules = "p(X) :- r(r), digit(X, 1).\nr(end).\nr(G) :- call(G, r).\n"
    rules += "p(X) :- loop(f(X)), digit(X, 2).\nloop(f(_)).\nloop(T) :- T = g(T, U), loop(U).\n"
    program = program_of(DIGITS + rules, "p(X)")
    assert list(map(str, program.slots)) == ["X"]


def test_an_image_inside_a_term_is_an_image_still():
    """So that the message is about the term."""
    rules = "p(X) :- q(f(X)).\nq(I) :- digit(I, 1).\n"
    assert list(map(str, program_of(DIGITS + rules, "p(X)").slots)) == ["X"]
    with pytest.raises(ProgramError, match="an image inside a term"):
        circuit_of(DIGITS + rules, "p(X)")
