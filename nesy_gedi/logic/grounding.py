"""Ground a program's query and evidence with ProbLog, and sort its random choices into variables."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from problog.errors import ProbLogError
from problog.formula import LogicDAG, LogicFormula
from problog.logic import Constant, Term, Var, term2list

from nesy_gedi.logic.declarations import Program
from nesy_gedi.logic.explain import explain
from nesy_gedi.logic.sandbox import make_engine
from nesy_gedi.logic.source import ProgramError

_NONE = 1e-12  # alternatives that leave less than this over are complete: rounding, as in ten times 0.1
_MORE = 1e-9  # by which they may sum to more than one, as when the text is checked


@dataclass(frozen=True)
class Choice:
    """One multi-valued random variable of the ground program; exactly one of its values is true.

    Attributes:
        kind: ``network``, ``parameter`` or ``constant``.
        name: the network; the number of the parameter; empty for a constant.
        inputs: names of the slots that the network reads.
        size: number of values; the last one of an incomplete disjunction is "none of the heads".
        weights: probabilities of the values of a constant choice.
        label: the atom of the first value, for people.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    size: int
    weights: tuple[float, ...] = ()
    label: str = ""


Gate: TypeAlias = tuple[
    str, tuple[int, ...]
]  # ("conj" or "disj", signed numbers), or ("atom", (choice, value))


@dataclass
class Ground:
    """The ground program: an and-or graph with negation over the values of choices.

    Attributes:
        choices: the random variables, in the order in which grounding met them.
        gates: by number, children before parents; a negative child is a negation.
        answers: the symbols of each answer, as text; one empty tuple if the query has no symbols.
        roots: signed number of each answer; 0 is true, None false.
        evidence: signed numbers that must all hold; 0 is true, None false.
    """

    choices: list[Choice] = field(default_factory=list)
    gates: dict[int, Gate] = field(default_factory=dict)
    answers: list[tuple[str, ...]] = field(default_factory=list)
    roots: list[int | None] = field(default_factory=list)
    evidence: list[int | None] = field(default_factory=list)


def ground(program: Program, pattern: Sequence[int], formula: LogicFormula | None = None) -> Ground:
    """Ground the query with the images of a pattern in its slots.

    Args:
        program: the checked program.
        pattern: for each slot the first slot with the same image; ``0, 1, 2, …`` if all differ.
        formula: is filled on the way, so that somebody else may watch how large it gets.

    Raises:
        ProgramError: the program cannot be grounded, or its query or evidence can never hold.
    """
    query = program.query_with([_slot(first) for first in pattern])
    try:
        engine = make_engine(program.trusted)
        database = engine.prepare(program.expanded())
        evidence = [(atom, Term("true" if value else "false")) for atom, value in program.evidence]
        target = LogicFormula() if formula is None else formula
        engine.ground_all(database, target=target, queries=[query], evidence=evidence)
        dag = LogicDAG.create_from(target)
    except ProbLogError as error:
        raise explain(program.source, error, program.rules) from None
    return _Sorter(program, pattern, dag).ground


def _slot(number: int) -> Term:
    """What stands for a slot's image; no program can write it."""
    return Term("$slot", Constant(int(number)))


class _Sorter:
    """Turns ProbLog's acyclic formula into gates over choices."""

    def __init__(self, program: Program, pattern: Sequence[int], dag: LogicDAG) -> None:
        self.program, self.ground = program, Ground()
        self.slot_names = {str(_slot(first)): str(program.slots[first]) for first in pattern}
        self.asked: set[tuple[str, tuple[str, ...]]] = set()
        self._atoms(dag)
        for number, node, kind in dag:
            if kind in ("conj", "disj"):
                self.ground.gates[number] = (kind, tuple(node.children))
        self._answers(list(dag.queries()))
        for atom, number, value in dag.evidence_all():
            if number is None or number == 0:
                holds = (number == 0) == (value > 0)
                if not holds:
                    raise self._impossible_evidence(atom)
            else:
                self.ground.evidence.append(number if value > 0 else -number)

    def _impossible_evidence(self, atom: Term) -> ProgramError:
        return self.program.source.error(
            atom, f"the evidence on {atom} can never hold, so nothing has a probability: mend it or its rules"
        )

    def _atoms(self, dag: LogicDAG) -> None:
        """Collect the atoms of each choice, then number choices and values."""
        grouped: dict[Any, list[tuple[int, Any]]] = {}
        for number, node, kind in dag:
            if kind == "atom" and not node.is_extra:
                grouped.setdefault(node.identifier if node.group is None else str(node.group), []).append(
                    (number, node)
                )
        for atoms in grouped.values():
            label = atoms[0][1].probability
            if isinstance(label, Term) and label.functor == "nn":
                choice, values = self._network(atoms)
            elif isinstance(label, Term) and label.functor == "t" and label.arity == 2:
                choice, values = self._parameter(atoms)
            else:
                choice, values = self._constant(atoms)
            self.ground.choices.append(choice)
            for (number, _), value in zip(atoms, values, strict=True):
                self.ground.gates[number] = ("atom", (len(self.ground.choices) - 1, value))

    def _network(self, atoms: list[tuple[int, Any]]) -> tuple[Choice, list[int]]:
        number, _, inputs = atoms[0][1].probability.args
        neural = self.program.neural[int(number)]
        slots = []
        for term in term2list(inputs, False):
            if not isinstance(term, Term) or not term.is_ground():
                variable = next((v for v in neural.inputs if isinstance(v, Var)), neural.inputs[0])
                raise self.program.source.error(
                    neural.head.probability,
                    f"{variable} is not bound when {neural.network} is asked: call it with an image",
                )
            if str(term) not in self.slot_names and any(name in str(term) for name in self.slot_names):
                raise self.program.source.error(
                    neural.head.probability,
                    f"{neural.network} is asked about an image inside a term: hand over the image itself",
                )
            slots.append(self.slot_names.get(str(term), str(term)))
        if (neural.network, tuple(slots)) in self.asked:
            raise self.program.source.error(
                neural.head.probability,
                f"{neural.network} is asked twice about {', '.join(slots)}, and the answers would be "
                "independent: ask once, and let a rule derive the other atom",
            )
        self.asked.add((neural.network, tuple(slots)))
        values = [int(node.probability.args[1]) for _, node in atoms]
        return Choice(
            "network", neural.network, tuple(slots), len(neural.domain), label=self._label(atoms)
        ), values

    def _parameter(self, atoms: list[tuple[int, Any]]) -> tuple[Choice, list[int]]:
        number = int(atoms[0][1].probability.args[0])
        size = len(self.program.parameters[number].start())
        values = [int(node.probability.args[1]) for _, node in atoms]
        return Choice("parameter", str(number), (), size, label=self._label(atoms)), values

    def _constant(self, atoms: list[tuple[int, Any]]) -> tuple[Choice, list[int]]:
        weights = [self._probability(node) for _, node in atoms]
        rest = 1.0 - sum(weights)
        if rest < -_MORE:
            raise self.program.source.error(
                atoms[0][1].name,
                f"the probabilities of {self._label(atoms)} and its alternatives sum to more than 1",
            )
        if rest > _NONE or len(weights) == 1:
            weights.append(max(rest, 0.0))
        return Choice("constant", "", (), len(weights), tuple(weights), self._label(atoms)), list(
            range(len(atoms))
        )

    def _probability(self, node: Any) -> float:
        try:
            value = float(node.probability.compute_value())
        except Exception:
            raise self.program.source.error(
                node.probability,
                f"the probability {node.probability} of {self._label([(0, node)])} is no number",
            ) from None
        if not 0 <= value <= 1:
            raise self.program.source.error(
                node.probability,
                f"the probability of {self._label([(0, node)])} is {value:g}: give one from 0 to 1",
            )
        return value

    @staticmethod
    def _label(atoms: list[tuple[int, Any]]) -> str:
        name = atoms[0][1].name
        if isinstance(name, Term) and name.functor == "choice" and name.arity > 2:
            name = name.args[2]
        return str(name)

    def _answers(self, queries: list[tuple[Term, int | None]]) -> None:
        wanted = [str(v) for v in self.program.symbols]
        found: dict[tuple[str, ...], int | None] = {}
        for answer, number in queries:
            bound: dict[str, Term] = {}
            _bind(self.program.query, answer, bound)
            if number is not None and all(name in bound and bound[name].is_ground() for name in wanted):
                # terms of one text are one term: ProbLog compares constants, also 0.3 and 0.1 + 0.2, by it
                found[tuple(str(bound[name]) for name in wanted)] = number
        if all(_is_number(symbol) for answer in found for symbol in answer):
            found = dict(sorted(found.items(), key=lambda item: [float(symbol) for symbol in item[0]]))
        self.ground.answers, self.ground.roots = list(found), list(found.values())


def _bind(pattern: Any, term: Any, bound: dict[str, Term]) -> None:
    """Match a pattern with a ground instance of it."""
    if isinstance(pattern, Var):
        bound[str(pattern)] = term if isinstance(term, Term) else Constant(term)
    elif isinstance(pattern, Term) and isinstance(term, Term):
        for inner, value in zip(pattern.args, term.args, strict=True):
            _bind(inner, value, bound)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
