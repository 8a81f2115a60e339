"""What the shipped programs say, against brute force; ProbLog itself is the witness, not our compiler."""

import itertools
import math
import re
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from problog import get_evaluatable
from problog.engine import DefaultEngine
from problog.formula import LogicDAG, LogicFormula
from problog.logic import Constant, Or, Term, term2list
from problog.program import PrologString, SimpleProgram
from shipped_cases import CASES, DIGITS, SUDOKU_SLOTS, expected, header, maps, text

from nesy_gedi.resources import resource


def without_network(
    name: str, images: Sequence[str], probability: Callable[[str, int], Term]
) -> SimpleProgram:
    """The program with an annotated disjunction for each image in place of its networks, without its query.

    Symbols of probability zero are left out.
    """
    program = SimpleProgram()
    for statement in PrologString(text(name)):
        label = getattr(statement, "probability", None)
        if label is not None and label.functor == "nn":
            _, inputs, output, domain = label.args
            (image,) = term2list(inputs, False)
            for constant in images:
                heads = [
                    statement.apply_term({image: Term(constant), output: symbol}).with_probability(p)
                    for symbol in term2list(domain, False)
                    if (p := probability(constant, int(symbol))) != Constant(0.0)
                ]
                program.add_statement(Or.from_list(heads))
        elif label is not None and label.functor == "t":
            program.add_statement(statement.with_probability(label.args[0]))
        elif getattr(statement, "signature", "") != "query/1":
            program.add_statement(statement)
    return program


def ground(name: str, query: str, images: str) -> LogicDAG:
    """The ground program; the probability of "image x reads as k" stays the term p(x, k)."""
    program = without_network(name, images.split(), lambda x, k: Term("p", Term(x), Constant(k)))
    engine = DefaultEngine()
    formula = engine.ground(engine.prepare(program), Term.from_string(query), label=LogicFormula.LABEL_QUERY)
    return LogicDAG.create_from(formula)


def key(answer: Term) -> str:
    """The label in an answer, its last argument; True where all arguments are images."""
    return str(answer.args[-1]) if re.fullmatch(r"\d+|even|odd", str(answer.args[-1])) else "True"


def polynomial(formula: LogicDAG, weight: Callable[[str, int], float]) -> dict[str, float]:
    """For each answer the sum over its proofs of the product of their weights.

    It is the answer's probability if proofs exclude each other and fix an image once; if it equals the sum
    over the right readings at random weights, then they do, and the readings are those.
    """
    values: dict[int, float] = {0: 1.0}
    for i, node, kind in formula:
        if kind == "atom" and node.is_extra:
            continue  # what ProbLog notes about a disjunction as a whole
        if kind == "atom":
            p = node.probability
            is_image = isinstance(p, Term) and p.functor == "p"
            values[i] = weight(str(p.args[0]), int(p.args[1])) if is_image else float(p.compute_value())
        else:
            children = [values[c] if c >= 0 else 1 - values[-c] for c in node.children]
            values[i] = math.prod(children) if kind == "conj" else sum(children)
    return {key(query): values[node] for query, node in formula.queries() if node is not None}


def test_every_program_is_tested():
    assert {path.stem for path in resource("programs", "addition.pl").parent.glob("*.pl")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_default_query_is_the_one_tested(name):
    """Where a program names its query; else it is the one predicate that no other calls."""
    queries = [str(s.args[0]) for s in PrologString(text(name)) if s.signature == "query/1"]
    written = [re.sub(r"\s", "", query).lower() for query in queries]
    assert written in ([], [re.sub(r"\s", "", CASES[name].query).lower()])
    assert written or name not in ("multi_addition", "sudoku", "half", "even_odd", "sum_of_many")


@pytest.mark.parametrize("name", CASES)
def test_probability_of_every_answer_equals_brute_force(name):
    case = CASES[name]
    weights = np.random.default_rng(0).uniform(size=(case.width, len(case.domain)))
    rows = dict(zip(case.slots.split(), weights, strict=True))
    found = polynomial(ground(name, case.query, case.slots), lambda image, k: rows[image][k - case.domain[0]])
    assert found == pytest.approx(expected(name, weights), rel=1e-9)


@pytest.mark.parametrize("name", [name for name in CASES if name != "sudoku"])  # that one takes minutes
def test_inference_with_problog_equals_brute_force(name):
    """ProbLog compiles the program with four digits an image, which carry in some sums and not in others."""
    case, generator = CASES[name], np.random.default_rng(1)
    weights = generator.dirichlet(np.ones(len(case.domain)), size=case.width)
    used = slice(3, 7) if name == "multi_addition" else slice(4)
    images = slice(case.width - case.labels)
    weights[images] = 0
    weights[images, used] = generator.dirichlet(np.ones(4), size=case.width - case.labels)
    rows = dict(zip(case.slots.split(), weights.tolist(), strict=True))
    program = without_network(
        name, case.slots.split(), lambda image, k: Constant(rows[image][k - case.domain[0]])
    )
    program.add_statement(Term("query", Term.from_string(case.query)))
    found = get_evaluatable("sdd").create_from(program).evaluate()
    possible = {answer: p for answer, p in expected(name, weights).items() if p}
    assert {key(query): p for query, p in found.items()} == pytest.approx(possible, rel=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_readings_are_as_the_header_says(name):
    case = CASES[name]
    counts = {len(readings) for readings in case.answers().values()}
    fewest, most = min(counts), max(counts)
    often = f"{most:,}" if fewest == most else f"{fewest} to {most:,}"
    everything = len(case.domain) ** case.width
    if name == "noisy_addition":
        assert f"All {everything} of the {everything} readings are possible" in header(name)
        assert f"{often} of them without noise" in header(name)
    else:
        assert f"{often} of the {everything:,} readings" in header(name)


@pytest.mark.parametrize("name", [name for name in CASES if name != "parity"])
def test_shortcuts_are_as_the_header_says(name):
    case = CASES[name]
    found = maps(name)
    assert case.domain in found
    one_to_one = sum(len(set(values)) == len(values) for values in found)
    keep = "keep every example true, " if len(found) > 1 else "keeps every example true"
    count = f"{len(found)} of the {len(case.domain) ** len(case.domain):,} maps"
    if name == "noisy_addition":
        assert f"Without noise this is labelled_addition.pl, and {count} is left" in header(name)
    else:
        assert f"{count} of digits to digits {keep}" in header(name)
        assert (f", {one_to_one} of them one-to-one" in header(name)) == (len(found) > 1)


def test_shortcuts_of_parity():
    """Only the parities that digits are read with matter: five digits to choose from for each."""
    patterns = [
        p
        for p in itertools.product((0, 1), repeat=10)
        if all((p[a] + p[b] - a - b) % 2 == 0 for a in DIGITS for b in DIGITS)
    ]
    assert patterns == [(0, 1) * 5, (1, 0) * 5]
    assert f"{2 * 5**10:,} of the 10,000,000,000 maps" in header("parity")
    assert f"{2 * math.factorial(5) ** 2:,} of them one-to-one" in header("parity")


def test_shortcuts_that_the_headers_spell_out():
    cube = (0, 1, 8, 7, 4, 5, 6, 3, 2, 9)
    assert cube == tuple(d**3 % 10 for d in DIGITS)
    assert {f for f in maps("product_modulo") if len(set(f)) == 10} == {DIGITS, cube}
    assert {f[0] for f in maps("product_modulo") if len(set(f)) == 1} == {0, 1, 5, 6}
    for name in ("addition", "subtraction"):
        assert maps(name) == {DIGITS, (0,) * 10}
    assert maps("half") == {(0, 1, 2, 3, 4), (0, 1, 3, 2, 3), (0, 1, 4, 1, 2)}
    even_odd = maps("even_odd")
    assert {f for f in even_odd if len(set(f)) == 10} == {DIGITS, tuple((d + 5) % 10 for d in DIGITS)}
    assert {(f[4], f[3]) for f in even_odd} == set(itertools.product(range(4, 10), range(3, 9)))
    renamings = set(itertools.permutations(range(4)))
    assert maps("all_different") == renamings
    assert {tuple(d - 1 for d in f) for f in maps("sudoku")} == renamings


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.support])
def test_support_lists_the_pairs_of_the_benchmark(name):
    facts = [s for s in PrologString(text(name)) if s.functor == "support"]
    assert [tuple(int(a) for a in fact.args) for fact in facts] == list(CASES[name].support)


def addition_of(digits: int) -> tuple[str, str]:
    """Query and images of numbers with so many digits."""
    numbers = [[f"{n}{i}" for i in range(digits + (n == "s"))] for n in "abs"]
    lists = ", ".join(f"[{', '.join(number)}]" for number in numbers)
    return f"addition({lists})", " ".join(itertools.chain(*numbers))


@pytest.mark.parametrize("digits", [1, 3])
def test_numbers_of_other_lengths_are_added(digits):
    query, slots = addition_of(digits)
    weights = np.random.default_rng(2).uniform(size=(3 * digits + 1, 10))
    rows = dict(zip(slots.split(), weights, strict=True))
    found = polynomial(ground("multi_addition", query, slots), lambda image, k: rows[image][k])
    sums = np.arange(10**digits)[:, None] + np.arange(10**digits)
    powers = 10 ** np.arange(digits + 1)[::-1]
    a, b = (number_weights(weights[part]) for part in (slice(digits), slice(digits, 2 * digits)))
    c = np.prod([weights[2 * digits + i][sums // power % 10] for i, power in enumerate(powers)], axis=0)
    assert found == {"True": pytest.approx((a[:, None] * b * c).sum(), rel=1e-9)}


def number_weights(digits: np.ndarray) -> np.ndarray:
    """Weight of every number from the weights of its digits, the most significant first."""
    product = np.ones(1)
    for digit in digits:
        product = (product[:, None] * digit).ravel()
    return product


def test_grounding_of_the_addition_is_linear_in_the_digits():
    sizes = [len(ground("multi_addition", *addition_of(digits))) for digits in (3, 6, 9, 15)]
    assert sizes[1] - sizes[0] == sizes[2] - sizes[1] == (sizes[3] - sizes[2]) / 2
    assert sizes[3] < 4000


@pytest.mark.parametrize("images", [0, 1, 6])
def test_sums_of_lists_of_any_length_are_convolutions(images):
    weights = np.random.default_rng(3).uniform(size=(images, 10))
    names = [f"x{i}" for i in range(images)]
    formula = ground("sum_of_many", f"sum([{', '.join(names)}], S)", " ".join(names))
    found = polynomial(formula, lambda image, k: weights[int(image[1:])][k])
    convolved = np.ones(1)
    for row in weights:
        convolved = np.convolve(convolved, row)
    assert found == pytest.approx({str(s): p for s, p in enumerate(convolved)}, rel=1e-9)


def test_grounding_of_the_sum_is_quadratic_in_the_images():
    names = [f"x{i}" for i in range(7)]
    sizes = [
        len(ground("sum_of_many", f"sum([{', '.join(names[:n])}], S)", " ".join(names[:n])))
        for n in range(2, 8)
    ]
    assert set(np.diff(sizes, n=3)) == {0}


def test_sudoku_has_288_grids():
    formula = ground("sudoku", CASES["sudoku"].query, SUDOKU_SLOTS)
    assert polynomial(formula, lambda image, k: 1) == {"True": 288}
    assert len(formula) < 1000
