"""From a program to a sentential decision diagram (SDD): ground it with ProbLog, compile it with PySDD."""

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path

from problog.engine import DefaultEngine
from problog.errors import ProbLogError
from problog.formula import LogicDAG, LogicFormula
from problog.logic import Constant, Or, Term, term2list
from problog.program import SimpleProgram
from pysdd.sdd import SddManager, SddNode, Vtree

from nesy_gedi.errors import UserError
from nesy_gedi.logic.program import Program


def compile_diagram(program: Program, pattern: Sequence[int]) -> SddNode:
    """The query as an SDD, conjoined with "exactly one class" for every image.

    Variable ``slot * classes + class + 1`` says that the slot's image reads as the class. Conjoining
    matters: for the addition it is the difference between some 30,000 and 620 nodes.

    Args:
        program: the checked program.
        pattern: the first slot that holds the same image, for each slot; ``0, 1, 2, …`` if all differ.

    Raises:
        UserError: no reading satisfies the query.
        ProgramError: the program cannot be grounded.
    """
    formula = ground(program, pattern)
    ((_, query),) = formula.queries()
    classes = len(program.neural.domain)
    atoms = ((i, node) for i, node, kind in formula if kind == "atom" and not node.is_extra)
    variables = {i: _variable(node.probability, classes) for i, node in atoms}
    met = [(variable - 1) // classes for variable in variables.values()]
    slots = list(dict.fromkeys([*met, *pattern]))
    manager = SddManager.from_vtree(_vtree(slots, len(pattern), classes))
    constraint = manager.true()
    for slot in slots:
        constraint = manager.conjoin(constraint, _exactly_one(manager, slot, classes))
    root = manager.false()
    if query is not None:
        root = _diagram(formula, query, variables, constraint)
    if root.is_false():
        raise UserError(_unsatisfiable(program, pattern))
    return root


def ground(program: Program, pattern: Sequence[int]) -> LogicDAG:
    """Ground the query by ProbLog, the network replaced by an ordinary annotated disjunction.

    The probability of a ground atom is the placeholder ``nn(tensor(images(slot)), class)``.
    """
    source = program.statements()
    expanded = SimpleProgram()
    expanded.line_info = source.line_info  # so that errors while grounding name their line
    for statement in source:
        label = statement.probability if isinstance(statement, Term) else None
        if label is not None and label.functor == "nn":
            statement = _disjunction(statement, program.neural.domain)
        if getattr(statement, "signature", "") != "query/1":  # the query is ours, with images in its slots
            expanded.add_statement(statement)
    engine = DefaultEngine()
    try:
        database = engine.prepare(expanded)
        formula = engine.ground(database, program.query_term(pattern), label=LogicFormula.LABEL_QUERY)
        return LogicDAG.create_from(formula)
    except ProbLogError as error:
        raise program.source.problog_error(error) from None


def _disjunction(statement: Term, domain: Sequence[Term]) -> Term:
    _, inputs, output, _ = statement.probability.args
    image = term2list(inputs, False)[0]
    heads = [
        statement.with_probability(Term("nn", image, Constant(k))).apply_term({output: symbol})
        for k, symbol in enumerate(domain)
    ]
    return Or.from_list(heads)


def _variable(placeholder: Term, classes: int) -> int:
    image, symbol = placeholder.args
    return int(image.args[0].args[0]) * classes + int(symbol) + 1


def _diagram(formula: LogicDAG, query: int, variables: dict[int, int], constraint: SddNode) -> SddNode:
    """A node of the ground program, conjoined with the constraint at every step to stay small."""
    manager = constraint.manager
    diagrams = {0: manager.true()}  # ProbLog's key of what is always true

    def signed(key: int) -> SddNode:
        return manager.negate(diagrams[-key]) if key < 0 else diagrams[key]

    for i, node, kind in formula:  # children come before their parents
        if kind == "conj":
            diagrams[i] = constraint
            for child in node.children:
                diagrams[i] = manager.conjoin(diagrams[i], signed(child))
        elif kind == "disj":
            diagrams[i] = manager.false()
            for child in node.children:
                diagrams[i] = manager.disjoin(diagrams[i], manager.conjoin(signed(child), constraint))
        elif i in variables:
            diagrams[i] = manager.literal(variables[i])
    return manager.conjoin(signed(query), constraint)


def _exactly_one(manager: SddManager, slot: int, classes: int) -> SddNode:
    one, none = manager.false(), manager.true()
    for variable in range(slot * classes + 1, (slot + 1) * classes + 1):
        literal = manager.literal(variable)
        other = manager.negate(literal)
        one = manager.disjoin(manager.conjoin(one, other), manager.conjoin(none, literal))
        none = manager.conjoin(none, other)
    return one


def _vtree(order: Sequence[int], slots: int, classes: int) -> Vtree:
    """Slots one after the other, as the program meets them; the classes of each in a balanced tree."""
    lines: list[str] = []

    def leaf(variable: int) -> int:
        lines.append(f"L {len(lines)} {variable}")
        return len(lines) - 1

    def inner(left: int, right: int) -> int:
        lines.append(f"I {len(lines)} {left} {right}")
        return len(lines) - 1

    def balanced(variables: Sequence[int]) -> int:
        if len(variables) == 1:
            return leaf(variables[0])
        half = len(variables) // 2
        return inner(balanced(variables[:half]), balanced(variables[half:]))

    # a slot whose image is another slot's has variables too, which nothing mentions
    everyone = list(dict.fromkeys([*order, *range(slots)]))
    trees = [balanced(range(slot * classes + 1, (slot + 1) * classes + 1)) for slot in reversed(everyone)]
    list(itertools.accumulate(trees, lambda right, left: inner(left, right)))
    # PySDD takes a tree of one's own only from a file
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vtree"
        path.write_text(f"vtree {len(lines)}\n" + "\n".join(lines) + "\n")
        return Vtree.from_file(bytes(path))


def _unsatisfiable(program: Program, pattern: Sequence[int]) -> str:
    query = f"{program.query}/{program.arity}"
    repeated = [i for i, first in enumerate(pattern) if i != first]
    if not repeated:
        return (
            f"no reading of the images satisfies {query} in {program.path}: nothing to learn; mend its rules"
        )
    pairs = ", ".join(f"{pattern[i] + 1} and {i + 1}" for i in repeated)
    return f"{query} in {program.path} cannot hold with one image in slots {pairs}: give different images"
