"""Every mistake is found, at its line and column, with words that help."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problog import get_evaluatable
from problog.engine import DefaultEngine
from problog.errors import ProbLogError
from problog.eval_nodes import NegativeCycle
from problog.logic import AnnotatedDisjunction, Clause, Or, Term
from problog.program import PrologString, SimpleProgram

from nesy_gedi.logic.calls import Rule
from nesy_gedi.logic.cycles import unfounded_cycles
from nesy_gedi.logic.mistakes import check_calls, explain, negative_cycle
from nesy_gedi.logic.sandbox import make_engine
from nesy_gedi.logic.source import ProgramError, Source

LISTS = ":- use_module(library(lists)).\n"
APPLY = ":- use_module(library(apply)).\n"


def _source(text: str) -> Source:
    return Source(Path("p.pl"), text)


def _rules(statements: Sequence[Term]) -> list[Rule]:
    rules: list[Rule] = []
    for statement in statements:
        if isinstance(statement, AnnotatedDisjunction):
            rules += [(head, statement.body) for head in statement.heads]
        elif isinstance(statement, Clause):
            rules.append((statement.head, statement.body))
        elif isinstance(statement, Or):
            rules += [(head, None) for head in statement.to_list()]
        elif statement.functor == "query":
            rules.append((Term("query"), statement.args[0]))
        else:
            rules.append((statement, None))
    return rules


def _places(errors: list[ProgramError]) -> list[str]:
    return [f"{error.line}:{error.column}" for error in errors]


def _check(text: str, **options: object) -> list[ProgramError]:
    source = _source(text)
    return check_calls(source, _rules(source.statements()), **options)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        # unknown predicates
        ("a :- b, digti(1).\nb.\ndigit(1).", "1:9", ["unknown predicate digti/1", "did you mean digit/1?"]),
        ("a :- digi(1, 2).\ndigit(1).\ndigit(1, 2).\ndigit(1, 2, 3).", "1:6", ["did you mean digit/2?"]),
        ("a(X) :-\n  leng(X, 1).", "2:3", ["unknown predicate leng/2", "did you mean length/2?"]),
        ("a :- qqqqqq.", "1:6", ["unknown predicate qqqqqq/0", "write a clause"]),
        ("a :- digit(1, 2, 3).\ndigit(1, 2).", "1:6", ["wrong arity: defined is digit/2, called is digit/3"]),
        ("a :- d(1).\nd(1, 2).\nd.", "1:6", ["wrong arity: defined is d/0, d/2, called is d/1"]),
        ("a :- length(1).", "1:6", ["wrong arity: defined is length/2, called is length/1"]),
        ("a(X) :- member(X, [1]).", "1:9", ["member/2 is in library(lists)", "`:- use_module("]),
        ("a(X) :- maplist(b, X).\nb(1).", "1:9", ["maplist/2 is in library(apply)"]),
        ("a(X) :- concat(X, y).", "1:9", ["concat/2 is in library(string)"]),
        (LISTS + "a :- zip([1], [2], X).", "2:6", ["unknown predicate zip/3"]),
        (LISTS + "a :- member(1).", "2:6", ["wrong arity: defined is member/2"]),
        ("a :- b ; c.\nb.", "1:10", ["unknown predicate c/0"]),
        ("a :- \\+ c.", "1:9", ["unknown predicate c/0"]),
        ("a :- not(c).", "1:10", ["unknown predicate c/0"]),
        ("a :- findall(X, c(X), L).", "1:17", ["unknown predicate c/1"]),
        ("a :- findall(X, (b(X), c(X)), L).\nb(1).", "1:24", ["unknown predicate c/1"]),
        ("a :- forall(b, c).\nb.", "1:16", ["unknown predicate c/0"]),
        ("a :- call(c, 1).", "1:11", ["unknown predicate c/1"]),
        ("a :- call(c(1), 2).\nc(1).", "1:11", ["wrong arity: defined is c/1, called is c/2"]),
        (APPLY + "a(X) :- maplist(c(1), X, X).\n", "2:17", ["unknown predicate c/3"]),
        (APPLY + "a(X) :- foldl(c, X, 0, X).\n", "2:15", ["unknown predicate c/3"]),
        (APPLY + "a(X) :- include(c, X, X).\n", "2:17", ["unknown predicate c/1"]),
        ("0.3::a :- c.", "1:11", ["unknown predicate c/0"]),
        ("0.3::a; 0.7::b :- c.", "1:19", ["unknown predicate c/0"]),
        ("a. query(aa).", "1:10", ["unknown predicate aa/0", "did you mean a/0?"]),
        (":- foo.\na.", "1:4", ["unknown predicate foo/0"]),
        # what is not allowed
        ("a :- b, consult(x).\nb.", "1:9", ["consult/1 reads files", "--trust-program"]),
        ("a :- X = 1, writeln(X).", "1:13", ["writeln/1 prints"]),
        ("a :- findall(X, cmd_args(X), L).", "1:17", ["reads the command line"]),
        (":- use_module(library(db)).", "1:4", ["library(db) reads files and databases"]),
        (":- use_module('x.py').", "1:4", ["use_module('x.py') reads files", "copy the clauses"]),
        ("a :- use_module(library(nosuch)).", "1:6", ["no library(nosuch)", "lists, apply"]),
        (":- module(m, [a/0]).\na.", "1:4", ["module/2 renames every predicate"]),
        ("a :- [x].", "1:7", ["a list as a goal reads files"]),
        # other Prologs
        ("a(X) :- X > 0, !.", "1:16", ["!/0 is not in ProbLog", "guards"]),
        ("a(X) :- (X > 0 -> b ; b).\nb.", "1:10", ["->/2 is not in ProbLog", "(Condition, Then ;"]),
        ("a :- (b *-> b ; b).\nb.", "1:7", ["*->/2 is not in ProbLog"]),
        ("a :- assertz(b).", "1:6", ["assertz/1 is not in ProbLog", "facts"]),
        ("a :- nb_setval(x, 1).", "1:6", ["nb_setval/2", "arguments"]),
        ('a :- format("x").', "1:6", ["format/1 is not in ProbLog", "remove it"]),
        ("a :- setof(X, b(X), L).\nb(1).", "1:6", ["setof/3", "findall/3"]),
        ("a :- atom_concat(x, y, Z).", "1:6", ["atom_concat/3", "library(string)"]),
        (":- dynamic(a/1).\na(1).", "1:4", ["dynamic/1", "remove the line"]),
        ("a --> b.\nb.", "1:1", ["`-->` is not supported"]),
        ("?- a.\na.", "1:1", ["`?-` asks nothing", "query("]),
        # what ProbLog reads, but not as it was meant
        ("0.3:a.", "1:1", ["`0.3:` is no probability", "`0.3::`"]),
        ("a :- b, 0.4::c.\nb.\nc.", "1:14", ["the probability of c counts for nothing"]),
        ("0.5::a; b :- c.\nc.", "1:9", ["b has no probability", "0.5::a"]),
        ("a :- b, 7.\nb.", "1:9", ["7 is no goal"]),
        ("a :- once((b ; c)).\nb.\nc.", "1:12", ["once/1 takes one goal"]),
        ("a :- call((b, c)).\nb.\nc.", "1:12", ["call/1 takes one goal"]),
        ("a :- call(\\+ (b, c)).\nb.\nc.", "1:15", ["call/1 takes one goal"]),
        ("a :- forall(b, (b, c)).\nb.\nc.", "1:17", ["forall/2 takes one goal"]),
        ("a :- findall(_, b(_), L).\nb(1).", "1:14", ["breaks on `_`", "findall/3"]),
        # built in
        ("between(1, 2, 3).", "1:1", ["between/3 is built into ProbLog", "another name"]),
        ("a.\nforall(X, Y) :- a.", "2:1", ["forall/2 is built into ProbLog"]),
        ("a.\n0.3::write(X) :- a.", "2:6", ["write/1 is built into ProbLog"]),
        ("a(X, Y) :- b.\nX < Y :- a(X, Y).\nb.", "2:1", ["</2 is built into ProbLog"]),
        # cycles without a way in
        ("a :- b.\nb :- a.", "1:1", ["a/0 -> b/0 -> a/0", "can never hold"]),
        ("c.\np(X) :- c, p(X).", "2:1", ["p/1 -> p/1"]),
        ("a :- call(b, 1).\nb(X) :- a.", "1:1", ["a/0 -> b/1 -> a/0"]),
        ("0.5::a(X) :- call(b(X)), d.\nb(X) :- once(a(X)).\nd.", "1:6", ["a/1 -> b/1 -> a/1"]),
    ],
)  # fmt: skip
def test_one_mistake(text: str, place: str, words: list[str]) -> None:
    errors = _check(text)
    assert _places(errors) == [place], errors
    assert str(errors[0]).startswith(f"p.pl:{place}: ")
    assert all(word in str(errors[0]) for word in words), errors[0]


@pytest.mark.parametrize(
    "text",
    [
        "p(X) :- q(X), X > 1, Y is X + 1, Y =\\= 3.\nq(2).",
        "path(X, Y) :- edge(X, Y).\npath(X, Y) :- edge(X, Z), path(Z, Y).\n0.3::edge(1, 2).",
        "even(0).\neven(N) :- N > 0, M is N - 1, \\+ even(M).",
        "a :- \\+ b.\nb :- \\+ a.",
        "a :- b.\nb :- findall(X, c(X), L).\nc(X) :- a.",  # findall holds without c
        "a :- b ; c.\nb :- a.\nc.",
        LISTS + "a(X) :- member(X, [1]), append([1], [2], X), length(X, 2).",
        ":- use_module(library(lists), [member/2 as el]).\na(X) :- el(X, [1]).",
        ":- use_module(library(aggregate)).\nd(1, 2).\na(X, sum<Y>) :- d(X, Y).",
        ":- use_module(library(scope)).\ns:b.\na :- s:b.",
        APPLY + "a(X) :- maplist(plus(1), [1], X), foldl(plus, X, 0, 1).",
        "a :- X = b, call(X), X.\nb.",
        "a(P) :- call(P, 1), findall(X, P, L), P.",
        "maplist(P, X) :- p(P, X).\np(X, Y).\na :- maplist(nothing, 1).",
        "a :- forall(b, \\+ c), call(\\+ b), findall(X, (b ; c), L).\nb.\nc.",
        "0.3::a; 0.7::b.\nquery(a).",
        LISTS + "member(1, 2).\na :- member(1, 2).",
    ],
)
def test_no_mistake(text: str) -> None:
    assert _check(text) == []


def test_all_mistakes_in_the_order_of_the_text() -> None:
    text = "a :- b, c(1), d.\nc(X) :- e(X), writeln(X).\nd :- a.\nwrite(1).\nf :- f.\n"
    errors = _check(text)
    assert _places(errors) == ["1:1", "1:6", "2:9", "2:15", "4:1", "5:1"]


@pytest.mark.parametrize("between", ["\\+ {}", "findall(X, {}, L)"])
def test_two_cycles_are_told_apart(between: str) -> None:
    text = f"a :- a, {between.format('b')}.\nb :- b, {between.format('a')}.\nc :- d.\nd :- c, d."
    errors = _check(text)
    assert _places(errors) == ["1:1", "2:1", "3:1"]
    assert ["a/0 -> a/0" in str(errors[0]), "b/0 -> b/0" in str(errors[1])] == [True, True]
    assert "c/0 -> d/0 -> c/0" in str(errors[2])


def test_what_stands_inside_an_unknown_connective_is_looked_at() -> None:
    assert _places(_check("a(X) :- (b(X) -> c ; d).")) == ["1:10", "1:10", "1:18", "1:22"]


def test_predicates_and_libraries_from_elsewhere() -> None:
    text = "a(X) :- digit(X, 1), member(X, [1]), nth0(0, [X], 1)."
    assert _places(_check(text)) == ["1:9", "1:22", "1:38"]
    assert _check(text, extra={("digit", 2)}, libraries=["lists"]) == []
    assert "did you mean digit/2?" in str(_check("a :- digits(1, 2).", extra={("digit", 2)})[0])


def test_of_a_trusted_program_that_loads_files_nobody_knows_what_it_defines() -> None:
    text = ":- consult(more).\na :- b, writeln(x).\nc :- c.\n"
    assert _places(_check(text)) == ["1:4", "2:6", "2:9", "3:1"]
    assert _check(text, trusted=True) == []
    assert _places(_check("a :- b, writeln(x).\nc :- c.", trusted=True)) == ["1:6", "2:1"]
    assert _check(":- use_module(library(db)).\na :- b.", trusted=True) == []
    assert _check("a :- b.", libraries=["db"], trusted=True) == []
    assert _places(_check(LISTS + "a :- b.", libraries=["lists"], trusted=True)) == ["2:6"]
    assert _places(_check("a :- b, !.", trusted=True)) == ["1:6", "1:9"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a :- \\+ a.", "a/0 -> \\+ a/0"),
        ("a :- b.\nb :- \\+ c.\nc :- a, d.\nd.", "b/0 -> \\+ c/0 -> a/0 -> b/0"),
        ("even(N) :- M is N - 1, \\+ even(M).", "even/1 -> \\+ even/1"),
        ("a :- forall(b, a).\nb.", "a/0 -> forall a/0"),
        ("a :- \\+ b.\nb :- c.\nc.", None),
        ("a :- b.\nb :- a.", None),
    ],
)
def test_negative_cycle(text: str, expected: str | None) -> None:
    assert negative_cycle(_rules(_source(text).statements())) == expected


def test_of_two_negative_cycles_the_one_at_the_place_is_told() -> None:
    text = "a :- \\+ a.\nb :- \\+ b.\n"
    rules = _rules(_source(text).statements())
    assert negative_cycle(rules, text.index("\\+ a")) == "a/0 -> \\+ a/0"
    assert negative_cycle(rules, text.index("\\+ b")) == "b/0 -> \\+ b/0"
    assert "b/0 -> \\+ b/0" in str(_explained(text + "query(b).", make_engine()))


def _propositional(clauses: Sequence[tuple[int, Sequence[tuple[int, bool]]]]) -> str:
    """Clauses over atoms p0, p1, …; each body literal is an atom and whether it is negated."""
    lines = []
    for head, body in clauses:
        goals = ", ".join(f"\\+ p{atom}" if negated else f"p{atom}" for atom, negated in body)
        lines.append(f"p{head} :- {goals}." if goals else f"p{head}.")
    return "\n".join(lines)


_CLAUSES = st.lists(
    st.tuples(st.integers(0, 4), st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=2)),
    min_size=1,
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(clauses=_CLAUSES)
def test_unfounded_cycles_by_brute_force(clauses: list[tuple[int, list[tuple[int, bool]]]]) -> None:
    defined = {head for head, _ in clauses}

    def closed(model: frozenset[int]) -> bool:
        """Whether a set of atoms is a model, negations and atoms without clauses counted as true."""
        return all(
            head in model
            or any(not negated and atom in defined and atom not in model for atom, negated in body)
            for head, body in clauses
        )

    subsets = itertools.chain.from_iterable(itertools.combinations(sorted(defined), n) for n in range(6))
    least = frozenset.intersection(*filter(closed, map(frozenset, subsets)))
    never = defined - least
    graph = networkx.DiGraph()
    for head, body in clauses:
        edges = [(head, atom) for atom, negated in body if not negated and atom in never]
        graph.add_edges_from(edges if head in never else [])
    cyclic = [
        component
        for component in networkx.strongly_connected_components(graph)
        if len(component) > 1 or any(graph.has_edge(atom, atom) for atom in component)
    ]
    found = unfounded_cycles(_rules(list(PrologString(_propositional(clauses)))))
    atoms = [[int(functor[1:]) for functor, _ in cycle] for cycle in found]
    for cycle in atoms:
        assert cycle[0] == cycle[-1]
        assert all(graph.has_edge(a, b) for a, b in itertools.pairwise(cycle))
    assert sorted(min(component) for component in cyclic) == sorted(
        min(component) for component in cyclic for cycle in atoms if cycle[0] in component
    )
    assert len(atoms) == len(cyclic)


@settings(max_examples=100, deadline=None)
@given(clauses=_CLAUSES)
def test_negative_cycles_against_problog_and_networkx(
    clauses: list[tuple[int, list[tuple[int, bool]]]],
) -> None:
    defined = {head for head, _ in clauses}
    graph = networkx.DiGraph()
    graph.add_edges_from((head, atom) for head, body in clauses for atom, _ in body if atom in defined)
    negative = any(
        negated and atom in defined and networkx.has_path(graph, atom, head)
        for head, body in clauses
        for atom, negated in body
    )
    text = _propositional(clauses)
    cycle = negative_cycle(_rules(list(PrologString(text))))
    assert (cycle is not None) == negative
    if cycle is not None:
        steps = [int(step.replace("\\+", "").strip()[1:-2]) for step in cycle.split(" -> ")]
        assert steps[0] == steps[-1]
        assert "\\+" in cycle
        assert all(graph.has_edge(a, b) for a, b in itertools.pairwise(steps))
    known = [c for c in clauses if all(atom in defined for atom, _ in c[1])]
    queries = " ".join(f"query(p{head})." for head, _ in known)
    try:
        DefaultEngine().ground_all(PrologString(f"{_propositional(known)}\n{queries}"))
    except NegativeCycle:  # also where a cycle below a negation lies inside another cycle
        assert cycle is not None or not networkx.is_directed_acyclic_graph(graph)
    except ProbLogError:
        pass


def _solve(parsed: PrologString, engine: DefaultEngine) -> None:
    """As the package grounds: the statements taken apart, with their places."""
    program = SimpleProgram()
    program.line_info = parsed.line_info
    for statement in parsed:
        program.add_statement(statement)
    get_evaluatable().create_from(engine.ground_all(program)).evaluate()


def _explained(text: str, engine: DefaultEngine) -> ProgramError:
    parsed = PrologString(text)
    with pytest.raises(ProbLogError) as raised:
        _solve(parsed, engine)
    return explain(_source(text), raised.value, _rules(list(parsed)))


RAISING = [
    (  # ProbLog loses its way
        "p(2) :- q(2), q(X), p(X).\np(2) :- \\+ all(Y, q(2), L).\n0.3::q(X) :- p(1), q(X), q(2).\n"
        "0.3::q(2) :- p(Y), p(Y), p(f(X)).\nquery(p(_)).",
        "1:1",
        ["breaks ProbLog", "InvalidEngineState"],
    ),
    ("a :- X = (b, c), call(X).\nb.\nc.\nquery(a).", "1:18", ["cannot be (a, b)"]),
    ("a :- consult(x, y).\nquery(a).", "1:6", ["no clause defines consult/2"]),
    ("b(1).\nc(1, Z).\nP::a(Q) :- b(R), c(Q, P).\nquery(a(_)).", "3:4", ["P has no value after the body"]),
    ("b(1).\nc(1, 1).\n0.3::p(X); 0.7::q(Y) :- b(Z), c(X, 1).\nquery(q(_)).", "3:17", ["Y has no value"]),
    ("a :- forall(b, a).\nb.\nquery(a).", "1:16", ["a/0 -> forall a/0"]),
    ("a :- X = nosuch(1), call(X).\nquery(a).", "1:10", ["no clause defines nosuch/1"]),
    ("0.3::noisy(X).\na :-\n  noisy(Y).\nquery(a).", "1:6", ["X has no value where", "noisy(X) :- "]),
    ("p(1).\n0.3::q(X, Y) :- p(X).\nquery(q(_, _)).", "2:6", ["Y has no value", "q(X,Y)"]),
    ("b(Z).\nP::a :- b(P).\nquery(a).", "2:4", ["P has no value"]),
    ("0.3::p(X); 0.7::q(X).\nquery(q(_)).", "1:17", ["X has no value", "q(X)"]),
    ("0.3::a(V) :- b(V, _), b(_, W).\nb(1, Z).\nquery(a(1)).", "1:6", ["_ and W have no values"]),
    ("a :- b(B), C is A + B.\nb(1).\nquery(a).", "1:12", ["`C is A+B`: A has no value", "before"]),
    ("a(A) :-\n  A > 1.\nquery(a(X)).", "2:3", ["`A>1`: A has no value"]),
    ("a :- A =:= B.\nquery(a).", "1:6", ["A and B have no values"]),
    ("a :- between(X, 1, 2).\nquery(a).", "1:6", ["`between(X,1,2)`: X has no value"]),
    ("a :- between(1, x, Y).\nquery(a).", "1:6", ["called with (1, x, X1)", "(integer, integer, var)"]),
    ("a :- length(L, N).\nquery(a).", "1:6", ["L has no value"]),
    ("a :- X =.. Y.\nquery(a).", "1:6", ["Y has no value"]),
    ("a :- X =.. [].\nquery(a).", "1:6", ["non-empty list"]),
    ("a :- call(X).\nquery(a).", "1:6", ["`call(X)`: X has no value"]),
    ("a :- b, X.\nb.\nquery(a).", "1:9", ["`X` runs call/1"]),
    ("a :- findall(X, Y, L).\nquery(a).", "1:6", ["Y has no value"]),
    ("a :- X is foo + 1.\nquery(a).", "1:6", ["foo/0 is no number"]),
    ("a :- X = 0, Y is 1 / X.\nquery(a).", "1:13", ["division by zero"]),
    ("a :- X is sqrt(-1).\nquery(a).", "1:6", ["math domain error"]),
    ('a :- X is "x" + 1.\nquery(a).', "1:6", ["breaks ProbLog", "TypeError"]),
    ("a :- X is 10.0 ** 1000.\nquery(a).", "1:6", ["breaks ProbLog", "OverflowError"]),
    ("a :- findall(_, b(_), L).\nb(1).\nquery(a).", "1:1", ["breaks ProbLog", "AttributeError"]),
    ("0.3::b(1).\na(X, Y) :- b(X).\nquery(a(_, _)).", "2:1", ["Y has no value in an answer"]),
    ("0.3::b(1).\na(X, Y) :- b(X), \\+ c(Y).\n0.1::c(2).\nquery(a(_, _)).", "2:1", ["Y has no value"]),
    ("a :- b, \\+ a.\nb.\nquery(a).", "1:9", ["a/0 -> \\+ a/0", "break the cycle"]),
    ("a :- b.\nb :- \\+ c.\nc :- a.\nquery(a).", "2:6", ["b/0 -> \\+ c/0 -> a/0 -> b/0"]),
    ("p(X) :- findall(Y, p(Y), L).\nquery(p(1)).", "1:9", ["p/1 -> findall p/1", "break the cycle"]),
    ("p :- p.\np :- \\+ q.\nq :- q.\nquery(p).", "2:6", ["a cycle below this negation"]),
    ("a :- X = f(X).\nquery(a).", "1:6", ["`X=f(X)`", "contains itself"]),
    ("a :- b(X, f(X)).\nb(Y, Y).\nquery(a).", "2:1", ["`b(Y,Y)`", "contains itself"]),
    ("a :- error('bad ', x).\nquery(a).", "1:6", ["stops", "bad x"]),
    ("a.\nbetween(1, 2, 3).\nquery(a).", "2:1", ["between/3 is built into ProbLog"]),
    ("a.\n:- module(m, []).\nquery(a).", "1:1", ["'module' directive should appear at top"]),
    ("0.3::a; b.\nquery(a).", "1:9", ["Non-probabilistic head"]),
    ("0.3::a; b :- c.\nc.\nquery(b).", "1:9", ["`b` breaks ProbLog"]),
    ("a :- b, writeln(x).\nb.\nquery(a).", "1:9", ["writeln/1 prints", "--trust-program"]),
    (":- use_module(library(lists), [nosuch/2]).\na.\nquery(a).", "1:4", ["nosuch/2 not defined"]),
    (LISTS + "a :- b(X), sum_list([1, X], S).\nb(Y).\nquery(a).", "2:12", ["`sum_list([1, X],S)` runs is/2"]),
    (LISTS + "a :- sum_list([1, b], S).\nquery(a).", "2:6", ["`sum_list([1, b],S)`", "b/0 is no number"]),
    (LISTS + "a :- select_uniform(K, [u, v], X, R).\nquery(a).", "2:6", ["select_uniform", "bind its"]),
    (LISTS + "0.2::a :- \\+ b, sum_list([X], S).\nb :- fail.\nquery(a).", "2:17", ["`sum_list([X],S)`"]),
    (LISTS + "a :- b, \\+ sum_list([X], S).\nb.\nquery(a).", "2:12", ["`sum_list([X],S)`"]),
    (LISTS + "a :- (b ; sum_list([X], S)).\nb.\nquery(a).", "2:11", ["`sum_list([X],S)`"]),
    (LISTS + "a :- findall(S, sum_list([X], S), L).\nquery(a).", "2:17", ["`sum_list([X],S)`"]),
    (LISTS + APPLY + "a :- maplist(sum_list, [[b]], S).\nquery(a).", "3:6", ["maplist", "b/0 is no number"]),
    (":- use_module(library(string)).\na :- str2int(abc, X).\nquery(a).", "2:6", ["breaks", "ValueError"]),
    ("query(a).\na :- forall(b(X), c(X)).\nb(1).\nc(X) :- Y is X + Z.", "4:9", ["Z has no value"]),
    ("a :- b.\nb.\n0.4::c.\nevidence(\\+ a).\nquery(c).", "4:1", ["evidence on a contradicts"]),
    ("0.4::c(1).\nevidence(c(1), true).\nevidence(c(1), false).\nquery(c(1)).", "2:1", ["on c(1) "]),
    ("0.4::b.\n0.3::c.\na :- b, c.\nevidence(a).\nevidence(\\+ b).\nquery(c).", "4:1", ["contradicts"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "place", "words"), RAISING)
def test_what_problog_raises_is_explained(text: str, place: str, words: list[str]) -> None:
    error = _explained(text, make_engine())
    assert str(error).startswith(f"p.pl:{place}: "), error
    assert all(word in str(error) for word in words), error


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("0.3::noisy(X).\na :-\n  noisy(Y).\nquery(a).", "1:6", ["X has no value where noisy(X)"]),
        ("p(1).\n0.3::q(X, Y) :- p(X).\nquery(q(_, _)).", "2:6", ["Y has no value"]),
        ("a :- b(B), C is A + B.\nb(1).\nquery(a).", "1:12", ["`C is A+B`: A and B have no values"]),
        ("a :- length(L, N).\nquery(a).", "1:6", ["called with (X1, X2)", "it takes"]),
        ("a(X, Y) :- b(X).\n0.2::b(1).\nquery(a(_, _)).", "3:7", ["variables left"]),
        ("a :- call(X).\nquery(a).", "1:1", ["a goal runs call/1 with (X1)"]),
    ],
)
def test_errors_of_plain_problog_are_explained_as_well_as_can_be(
    text: str, place: str, words: list[str]
) -> None:
    error = _explained(text, DefaultEngine())
    assert str(error).startswith(f"p.pl:{place}: "), error
    assert all(word in str(error) for word in words), error


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("nn(net, [X], Y, [a, b]) :: s(X, Y).", "1:28", "X has no value where s(X,Y) is called"),
        ("nn(net, [X], Y, [a, b]) :: s(Y, X).", "1:28", "X has no value where s(Y,X) is called"),
        ("nn(net, [X], Y, [a, b]) :: s(Z, Y) :- v(W), i(X).\nv(1).\ni(1).", "1:28", "Z has no value"),
        ("nn(net, [X], Y, [a, b]) :: s(1, Y) :- v(W), i(X).\nv(U).\ni(1).", "1:28", "W has no value"),
        ("t(_) :: s(X, Y).", "1:9", "X and Y have no values where s(X,Y) is called"),
        ("t(_) :: s(X, Y) :- v(X, Y), v(Z, Y).\nv(1, 2).\nv(U, 2).", "1:9", "Z has no value"),
    ],
)
def test_learnable_clauses_without_values_are_named(text: str, place: str, words: str) -> None:
    """They are grounded with placeholders in the place of their probabilities, one head for each class."""
    source = _source(text)
    statements = source.statements()
    program = SimpleProgram()
    program.line_info = PrologString(text).line_info
    for statement in statements:
        head = statement.head if isinstance(statement, Clause) else statement
        label, body = head.probability, statement.body if isinstance(statement, Clause) else Term("true")
        if label is None:
            program.add_statement(statement)
        elif label.functor == "t":
            program.add_statement(Clause(head.with_probability(Term("t", Term("0"))), body))
        else:
            plain = head.with_probability(Term("nn", label.args[1]))
            heads = [plain.apply_term({label.args[2]: symbol}) for symbol in (Term("a"), Term("b"))]
            program.add_statement(AnnotatedDisjunction(heads, body))
    with pytest.raises(ProbLogError) as raised:
        make_engine().ground_all(program, queries=[Term("s", None, None)])
    error = explain(source, raised.value, _rules(statements))
    assert str(error).startswith(f"p.pl:{place}: ")
    assert words in str(error)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("p(X :- q.", "1:2", ["Unmatched character '('"]),
        ("a.\n  p X) :- q.", "2:6", ["Unmatched character ')'"]),
        ("a.\nb :- c,\n     d", "2:1", ["no end", "full stop"]),
        ("a.\np(X) :- q(X)\nr(X) :- s(X).", "3:1", ["full stop", "`r`"]),
        ("p :- q,.", "1:7", ["`,` does not fit"]),
        ("p :- q r.", "1:8", ["`r` does not fit"]),
        ("p(X) :- Q(X).", "1:10", ["Q is a variable", "small letter"]),
        (":- dynamic foo/1.", "1:12", ["no declaration dynamic", "remove the line"]),
        ("a :- X = 0'c.", "1:11", ["0'c"]),
        ("a :- {b}.", "1:6", ["Unexpected character '{'"]),
        ("a :- b.c.", "1:7", ["a full stop ends a clause"]),
        ("a :- X = Y = Z.", "1:12", ["parentheses"]),
        ("a. .", "1:4", ["remove this full stop"]),
        ("a.\na, b :- c.", "2:1", ["Unexpected clause head 'a, b'", "one predicate"]),
        ("a.\nX :- a.", "2:1", ["Unexpected clause head 'X'"]),
        ("a.\n X.", "2:2", ["X is no clause"]),
        ("3.", "1:1", ["3 is no clause"]),
        ("'abc.", "1:1", ["Unmatched character '''"]),
    ],
)
def test_syntax_errors(text: str, place: str, words: list[str]) -> None:
    with pytest.raises(ProgramError) as raised:
        _source(text).statements()
    assert str(raised.value).startswith(f"p.pl:{place}: "), raised.value
    assert all(word in str(raised.value) for word in words), raised.value


@pytest.mark.filterwarnings("ignore:The use of")  # ProbLog's parser, on == and \\==
@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet="pX(), .:-[]|=\\+'\"0!<>;\n", max_size=30))
def test_whatever_the_text_parsing_ends_in_a_place(text: str) -> None:
    lines, places = text.split("\n"), []
    try:
        _source(text).statements()
    except ProgramError as error:
        places.append((error.line, error.column))
    assert all(1 <= line <= len(lines) and 1 <= column <= len(lines[line - 1]) + 1 for line, column in places)
