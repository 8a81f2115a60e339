"""What a program's text says, which query is meant, and where it is refused."""

import pytest
from shipped_cases import CASES
from small_programs import program_of, shipped

from nesy_gedi.errors import UserError
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.program import ProgramError, read_program
from nesy_gedi.logic.source import Source
from nesy_gedi.logic.statements import Statements

NN = "nn(net, [X], Y, [a, b, c]) :: symbol(X, Y).\n"
P = "p(X) :- symbol(X, a).\n"
LISTS = "p([]).\np([X|Xs]) :- symbol(X, a), p(Xs).\n"


def names(variables):
    return [str(variable) for variable in variables]


def test_addition_is_read():
    program = shipped("addition").program
    assert program.domains == {"mnist_net": tuple("0123456789")}
    assert program.learned == ("mnist_net",)
    assert (str(program.query), names(program.slots), names(program.symbols)) == (
        "addition(X,Y,Z)",
        ["X", "Y", "Z"],
        [],
    )
    assert (program.parameters, program.evidence, program.support) == ((), (), ())


@pytest.mark.parametrize("name", CASES)
def test_shipped_programs_have_the_images_and_labels_of_their_cases(name):
    case, program = CASES[name], shipped(name).program
    assert str(program.query).replace(" ", "").lower() == case.query.replace(" ", "").lower()
    assert [slot.lower() for slot in names(program.slots)] == case.slots.split()
    assert len(program.symbols) == ("True" not in case.answers())
    assert [tuple(int(a) for a in fact.args) for fact in program.support] == list(case.support)


@pytest.mark.parametrize(
    ("rules", "query"),
    [
        (P, "p(X)"),
        ("", "symbol(X,Y)"),  # nothing else is there
        ("p(X) :- q(X).\nq(X) :- symbol(X, a).", "p(X)"),  # q is called
        ("p(X) :- symbol(X, a), 'q'.\nq.", "p(X)"),
        ("p(X, Y) :- p(Y, X).\np(X, Y) :- symbol(X, a), symbol(Y, a).", "p(X,Y)"),  # only by itself
        ("p(X) :- \\+ q(X).\nq(X) :- symbol(X, a).", "p(X)"),
        ("p(X) :- (fail ; call(q, X)).\nq(X) :- symbol(X, a).", "p(X)"),
        ("p(X) :- findall(S, q(X, S), L), L = [_].\nq(X, S) :- symbol(X, S).", "p(X)"),
        (":- use_module(library(apply)).\np(X) :- maplist(q, [X]).\nq(X) :- symbol(X, a).", "p(X)"),
        (":- use_module(library(lists)).\np(X) :- Z = X, symbol(Z, S), member(S, [a, b]).", "p(X)"),
        (P + "q(X) :- symbol(X, a).\nquery(q(_)).", "q(_1)"),  # query/1 decides
        (P + "query(symbol(I, S)).", "symbol(I,S)"),  # also if it is called
        (P + "q :- symbol(i, b).\nevidence(q).", "p(X)"),  # evidence asks q, nobody else
        (P + "q :- symbol(i, b).\nevidence(\\+ q).", "p(X)"),
        (P + "support(a). support(b).", "p(X)"),
        (P + "nn(other, [X]) :: even(X).", "p(X)"),  # rules come before networks
        ("p(X) :- symbol(X, a), noise.\nt(0.2) :: noise.", "p(X)"),
        ("p(a, X, [Y], _, X) :- symbol(X, Y).", "p(A1,X,A3,A4,A5)"),
    ],
)
def test_query_is_the_one_that_nothing_calls(rules, query):
    assert str(program_of(NN + rules).query) == query


@pytest.mark.parametrize(
    ("asked", "query", "slots", "symbols"),
    [
        ("r(X, Y)", "r(X,Y)", ["X"], ["Y"]),
        ("  r(X,Y) . ", "r(X,Y)", ["X"], ["Y"]),
        ("r(i, Y)", "r(i,Y)", [], ["Y"]),
        ("r(X, b)", "r(X,b)", ["X"], []),
        ("r(_, _)", "r(_1,_2)", ["_1"], ["_2"]),
        ("s([X, _], f(_), _)", "s([X, _1],f(_2),_3)", ["X", "_1"], ["_2", "_3"]),
        ("r(X, X)", "r(X,X)", ["X"], []),
        ('r("a.png", Y)', 'r("a.png",Y)', [], ["Y"]),
        ("symbol(B, A)", "symbol(B,A)", ["B"], ["A"]),
        ("q", "q", [], []),
    ],
)
def test_query_may_be_asked_as_text(asked, query, slots, symbols):
    """It goes before all that the program names; every `_` is a variable of its own."""
    text = NN + P + "r(X, Y) :- symbol(X, Y).\ns([X, Y], f(A), B) :- r(X, A), r(Y, B).\nq.\n"
    program = program_of(text + "query(p(X)).\nquery(q).", asked)
    assert str(program.query) == query
    assert (names(program.slots), names(program.symbols)) == (slots, symbols)


@pytest.mark.parametrize(
    "asked",
    [
        "p(X",
        "X",
        "P(X)",
        "3",
        "",
        "p(X), p(Y)",
        "p(X). p(Y).",
        "p(X) :- q",
        "p(X) ; p(Y)",
        "\\+ p(X)",
        "0.3 :: p(X)",
    ],
)
def test_a_text_that_is_no_atom_is_refused(asked):
    with pytest.raises(ProgramError, match=r"^query:1:1: the query .* is not one atom") as caught:
        program_of(NN + P, asked)
    assert repr(asked) in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("q(X)", ["unknown predicate q/1", "defined in mine.pl are p/1, symbol/2"]),
        ("p(X, Y)", ["wrong arity: defined is p/1, called is p/2"]),
        ("symbl(X, Y)", ["did you mean symbol/2?"]),
    ],
)
def test_an_unknown_query_names_what_there_is(asked, words):
    with pytest.raises(ProgramError) as caught:
        program_of(NN + P, asked)
    assert str(caught.value).startswith("query:1:1: no rule defines the query ")
    for word in words:
        assert word in str(caught.value)


def test_all_that_is_said_is_kept():
    program = program_of(
        NN
        + "nn(observed_sum, [Z], N, [0, 1]) :: sum(Z, N).\n"
        + "nn(pair, [X, Y]) :: near(X, Y) :- close(X, Y).\n"
        + "t(0.25) :: noise(X); t(_) :: loss(X); 0.1 :: gain(X) :- symbol(X, a).\n"
        + "close(_, _).\n0.5 :: coin.\n"
        + "p(X, Z) :- near(X, i), sum(Z, 1), noise(X), loss(X), gain(X), coin.\n"
        + "evidence(coin). evidence(near(i, j), false).\n"
        + "evidence(\\+ symbol(i, b)). evidence(\\+ coin2, false).\n"
        + "coin2.\nsupport(a). support(c).\nquery(p(X, Z))."
    )
    assert program.domains == {"net": ("a", "b", "c"), "observed_sum": ("0", "1"), "pair": ("false", "true")}
    assert program.learned == ("net", "pair")
    assert [(n.network, names(n.inputs), str(n.output), n.observed) for n in program.neural] == [
        ("net", ["X"], "Y", False),
        ("observed_sum", ["Z"], "N", True),
        ("pair", ["X", "Y"], "None", False),
    ]
    assert str(program.neural[2].body) == "close(X,Y)"
    (parameter,) = program.parameters
    assert (names(parameter.heads), str(parameter.body)) == (
        ["noise(X)", "loss(X)", "gain(X)"],
        "symbol(X,a)",
    )
    assert (parameter.fixed, parameter.initial) == ((None, None, 0.1), (0.25, None, None))
    assert parameter.start() == pytest.approx((0.25, 0.325, 0.1, 0.325))
    assert [(str(atom), value) for atom, value in program.evidence] == [
        ("coin", True),
        ("near(i,j)", False),
        ("symbol(i,b)", False),
        ("coin2", True),
    ]
    assert names(program.support) == ["support(a)", "support(c)"]


@pytest.mark.parametrize(
    ("network", "observed"),
    [
        ("observed", True),
        ("observed_sum", True),
        ("observer", False),
        ("observedsum", False),
        ("my_observed", False),
    ],
)
def test_observed_networks_are_told_by_their_names(network, observed):
    program = program_of(f"nn({network}, [X], Y, [a, b]) :: symbol(X, Y).\n{P}")
    assert program.neural[0].observed == observed
    assert program.learned == (() if observed else (network,))


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("p(X :- q.", "1:2", "Unmatched character '('"),
        ("\n  p(X :- q.", "2:4", "Unmatched character '('"),
        ("p(X) :- q.\nq.", "1:1", "no network"),
        # which query
        (NN + P + "q(X) :- symbol(X, b).", "3:1", "(candidates: p/1, q/1)"),
        (NN + P + "nop.\n support(a).\n q(X) :- symbol(X, b).", "3:1", "(candidates: p/1, nop/0, q/1)"),
        (NN + P + "t(0.3) :: noise.", "3:11", "(candidates: p/1, noise/0)"),
        (NN + "q(X) :- r(X).\nr(X) :- q(X).\nr(X) :- symbol(X, a).", "1:1", "no predicate can be told"),
        (NN + P + "query(r(X)).", "3:1", "no rule defines the query r(X)"),
        (NN + P + "query(p(X)).\n  query(p(_)).", "4:3", "--query 'p(X)'; --query 'p(_)'"),
        (NN + P + "query(p(X)) :- symbol(X, b).", "3:1", "query/1 with conditions"),
        (NN + P + "query(X).", "3:1", "asks nothing"),
        (NN + P + "0.5 :: query(p(X)).", "3:8", "query(…) has no probability"),
        (NN + LISTS, "2:1", "A1 in p(A1) stands for a list of images of no known length"),
        (NN + LISTS + " query(p(L)).", "4:8", "L in p(L) stands for a list"),
        (NN + LISTS + "query(p([A|T])).", "4:7", "T in p([A | T]) stands for a list"),
        # evidence and support
        (NN + P + "  evidence(p(X)).", "3:3", "has the variable X"),
        (NN + P + "evidence(\\+ p(_)).", "3:1", "has the variable _"),
        (NN + P + "evidence(p(i)) :- symbol(i, a).", "3:1", "evidence with conditions"),
        (NN + P + "evidence(p(i), maybe).", "3:1", "not maybe"),
        (NN + P + "evidence(p(i), V).", "3:1", "not V"),
        (NN + P + "0.5 :: evidence(p(i)).", "3:8", "evidence(…) has no probability"),
        (NN + P + "evidence(q(i)).", "3:10", "unknown predicate q/1"),
        (NN + P + "support(X) :- p(X).", "3:1", "without conditions"),
        (NN + P + "0.5 :: support(a).", "3:8", "support(…) has no probability"),
        # networks
        ("nn(net) :: p.", "1:1", "nn with 1 arguments"),
        ("nn(net, [X], Y) :: p(X, Y).", "1:1", "nn with 3 arguments"),
        ("nn(net, [X], Y, [a], 7) :: p(X, Y).", "1:1", "nn with 5 arguments"),
        ("nn(net, X, Y, [a]) :: p(X, Y).", "1:1", "must be lists"),
        ("nn(net, [X], Y, a) :: p(X, Y).", "1:1", "must be lists"),
        ("nn(net, [X|T], Y, [a]) :: p(X, T, Y).", "1:1", "must be lists"),
        ("nn(net, [], Y, [a]) :: p(Y).", "1:1", "lists that are not empty"),
        ("nn(net, [X], Y, []) :: p(X, Y).", "1:1", "lists that are not empty"),
        (NN + "nn(net2, [X], y, [a]) :: p(X, y).", "2:1", "must be a variable, not y"),
        ("nn(net, [X], Z, [a]) :: p(X, Y).", "1:1", "the variable Z of nn is not in p(X,Y)"),
        ("nn(net, [Z], Y, [a]) :: p(X, Y).", "1:1", "the variable Z of nn is not in p(X,Y)"),
        ("nn(net, [X], Y, [a]) :: p(X, Y); nn(net, [X], Y, [b]) :: q(X, Y).", "1:58", "as one list"),
        ("nn(net, [X], Y, [a, b, a]) :: p(X, Y).", "1:1", "class a is listed twice"),
        ("nn(net, [X], Y, [a, B]) :: p(X, Y).", "1:1", "must be constants"),
        ("nn(net, [X], Y, [a, f(_)]) :: p(X, Y).", "1:1", "must be constants"),
        (NN + P + "nn(net, [X], Y, [a, b]) :: q(X, Y).", "3:1", "net has 3 classes above and 2 here"),
        (NN + P + "nn(net, [X]) :: q(X).", "3:1", "net has 3 classes above and 2 here"),
        # probabilities
        (NN + P + "t(0.3, 0.2) :: noise.", "3:16", "t with 2 arguments"),
        (NN + P + "t(a) :: noise.", "3:9", "the probability a is no number"),
        (NN + P + "t(1.5) :: noise.", "3:11", "1.5 is not in 0 to 1"),
        (NN + P + "t(-0.5) :: noise.", "3:12", "-0.5 is not in 0 to 1"),
        (NN + P + "t(0.7) :: u; 0.4 :: v.", "3:11", "sum to more than 1"),
        (NN + P + "t(0.7) :: u; v.", "3:14", "v has no probability"),
        (NN + P + "0.7 :: u; v.", "3:11", "v has no probability"),
        (NN + P + "1.5 :: u.", "3:8", "the probability of u is 1.5"),
        (NN + P + "-0.5 :: u :- p(i).", "3:9", "the probability of u is -0.5"),
        (NN + P + "a :: u.", "3:6", "the probability a is no number"),
        (NN + P + "nn :: u.", "3:7", "the probability nn is no number"),
        (NN + P + "0.7 :: u; 0.4 :: v.", "3:8", "sum to 1.1"),
        # what the clauses call
        (NN + P + ":- consult('other.pl').", "3:4", "consult/1 reads files"),
        (NN + "p(X) :- symbol(X, A), folows(A).\nfollows(a).", "2:23", "did you mean follows/1?"),
    ],
)  # fmt: skip
def test_mistakes_are_reported_with_their_place(text, place, words):
    with pytest.raises(ProgramError) as caught:
        program_of(text)
    message = str(caught.value)
    assert message.startswith(f"mine.pl:{place}: ")
    assert "\n" not in message
    assert words in message


@pytest.mark.parametrize(
    "text",
    [
        "0.3 :: u; 0.7 :: v.\n" + P,
        "1/3 :: u; 1/3 :: v; 1/3 :: w.\n" + P,
        "t(0.3) :: u; t(0.7) :: v.\n" + P,
        "t(0) :: u.\n0 :: v.\n1.0 :: w.\n" + P,
        "0.9 :: u.\n0.9 :: v.\n" + P,
        "nn(net, [X], Y, [c, b, a]) :: q(X, Y).\n" + P,  # one network, two readings, of one size
        "nn(two, [X], Y, [1, '1', f(1), \"1\"]) :: q(X, Y).\n" + P,
    ],
)
def test_what_is_right_is_not_refused(text):
    assert str(program_of(NN + text, "p(X)").query) == "p(X)"


def test_every_mistake_is_listed_in_order(tmp_path):
    text = "p(X) :- q(X).\n2 :: u.\n" + NN + "evidence(p(X)).\n0.4 :: v; 0.7 :: w.\nquery(p(X)) :- v.\n"
    errors = Statements(Source(tmp_path / "mine.pl", text)).errors
    assert [(error.line, error.column) for error in errors] == [(1, 9), (2, 6), (4, 1), (5, 8), (6, 1)]


@pytest.mark.parametrize(
    ("rule", "place", "words"),
    [
        ("p(X) :- symbol(X, A), B is A + C, B > 1.", "2:23", "C has no value"),
        ("p(X) :- symbol(X, a), \\+ p(X).", "2:23", "p/1 -> "),
        ("p(X) :- symbol(X, A), C = f(A), U > 0.3, u(U).\nu(0.5).", "2:33", "U has no value"),
        ("p(X) :- symbol(X, a), u(_).\nP :: u(P) :- v(P).\nv(0.3). v(2).", "4:11", "of u(2) is 2"),
        ("p(X) :- symbol(X, a), u(_).\nP :: u(P) :- v(P).\nv(0.3). v(a).", "4:11", "probability a of u(a)"),
        ("p(X) :- symbol(X, a), (u ; w).\nP :: u; P :: w :- v(P).\nv(0.7).", "3:6", "sum to more than 1"),
        ("p(X) :- symbol(f(X), a).", "1:1", "image inside a term"),
        ("p(X) :- symbol(X, a), o(X, b).\nnn(net, [X], Y, [a, b, c]) :: o(X, Y).", "3:1", "asked twice"),
        ("p(X) :- symbol(X, d).", "2:1", "no reading of the images satisfies the query p(X)"),
        ("p(X) :- symbol(X, a).\n  evidence(symbol(i, d)).", "3:", "on symbol(i,d) can never hold"),
        ("p(X) :- symbol(X, a).\nevidence(symbol(i, a)). evidence(symbol(i, b)).", "3:10",
         "never hold together"),
        ("p(X) :- symbol(X, a), symbol(i, b).\nevidence(symbol(i, a)).", "2:1", "together with the evidence"),
    ],
)  # fmt: skip
def test_mistakes_found_while_compiling_have_their_place(rule, place, words):
    program = program_of(NN + rule, "p(X)" if "o(" in rule else None)
    with pytest.raises(ProgramError) as caught:
        ConstraintCircuit(program, limits=None)
    assert str(caught.value).startswith(f"mine.pl:{place}")
    assert words in str(caught.value)


@pytest.mark.parametrize("folder", ["", "programs/"])
def test_a_name_alone_means_a_shipped_program_unless_there_is_a_file(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_program(f"{folder}addition.pl") == shipped("addition").program
    with pytest.raises(UserError, match=r"no program .*addtion.pl.*did you mean 'addition.pl'"):
        read_program(f"{folder}addtion.pl")
    (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / folder / "addition.pl").write_text(NN + P)
    assert str(read_program(f"{folder}addition.pl").query) == "p(X)"


def test_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"no program .*addition.pl"):
        read_program(tmp_path / "addition.pl")
    with pytest.raises(UserError, match="directory"):
        read_program(tmp_path)
    (tmp_path / "binary.pl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read as text"):
        read_program(tmp_path / "binary.pl")
    (tmp_path / "mine.pl").write_text(NN + P)
    assert str(read_program(tmp_path / "mine.pl", "symbol(I, S)").query) == "symbol(I,S)"
    with pytest.raises(ProgramError) as caught:
        read_program(str(tmp_path / "mine.pl"), "q")
    assert f"defined in {tmp_path / 'mine.pl'} are p/1" in str(caught.value)


def test_only_a_trusted_program_reads_files(tmp_path):
    (tmp_path / "other.pl").write_text("q(a).")
    path = tmp_path / "mine.pl"
    path.write_text(f":- consult('{tmp_path / 'other.pl'}').\n{NN}p(X) :- symbol(X, S), q(S).")
    with pytest.raises(ProgramError, match=r"mine.pl:1:4: consult/1 reads files"):
        read_program(path)
    circuit = ConstraintCircuit(read_program(path, "p(X)", trusted=True), limits=None)
    assert circuit.compiled.circuit.counts() == [1]


def test_networks_must_fit_the_program():
    program = program_of(NN + P)
    program.check_classes(3)
    with pytest.raises(ProgramError, match=r"mine.pl:1:1: the network has 4 outputs, but 3 classes .* net"):
        program.check_classes(4)
    with pytest.raises(UserError, match=r"unknown network 'nett'.*net"):
        program.check_network("nett", 3)
    two = program_of(NN + "nn(other, [X]) :: even(X).\np(X) :- symbol(X, a), even(X).")
    two.check_network("other", 2)
    with pytest.raises(UserError, match=r"2 networks that see images \(net, other\)"):
        two.single_network()
    with pytest.raises(UserError, match=r"0 networks that see images \(none\)"):
        program_of(NN.replace("net", "observed") + P).single_network()
