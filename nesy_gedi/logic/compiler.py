"""From a program and a pattern of equal images to an arithmetic circuit, in this process, without limits."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from problog.formula import LogicFormula

from nesy_gedi.logic.arithmetic import ZERO, ArithmeticCircuit
from nesy_gedi.logic.declarations import Program
from nesy_gedi.logic.diagram import diagram_circuit
from nesy_gedi.logic.direct import direct_circuit
from nesy_gedi.logic.grounding import Choice, Ground, ground
from nesy_gedi.logic.source import ProgramError

Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class Compiled:
    """A compiled query.

    Attributes:
        circuit: a root for each answer, conjoined with the evidence; then one for the evidence, if any.
        choices: what the circuit's variables are.
        answers: the symbols of each answer, as text; one empty tuple if the query has no symbols.
        has_evidence: whether the last root is the evidence.
        method: ``ground`` if the ground program was evaluated as it stands, ``sdd`` if it was compiled.
        grounding_seconds: wall time.
        compile_seconds: wall time.
    """

    circuit: ArithmeticCircuit
    choices: tuple[Choice, ...]
    answers: tuple[tuple[str, ...], ...]
    has_evidence: bool
    method: str
    grounding_seconds: float
    compile_seconds: float

    @property
    def never(self) -> frozenset[int]:
        """Inputs of the circuit whose probability is the constant 0."""
        starts = self.circuit.starts
        return frozenset(
            starts[variable] + value
            for variable, choice in enumerate(self.choices)
            for value, weight in enumerate(choice.weights)
            if weight == 0
        )

    @property
    def always(self) -> bool:
        """Whether the query, without symbols, holds in every world in which the evidence does."""
        if self.answers != ((),):
            return False
        counts = self.circuit.counts(self.never)
        everything = counts[-1] if self.has_evidence else _worlds(self)
        return counts[0] == everything

    def to_json(self) -> dict[str, Any]:
        """Lists, numbers and texts only; :meth:`from_json` makes it again."""
        return {
            **{name: getattr(self, name) for name in ("has_evidence", "method")},
            **{name: getattr(self, name) for name in ("grounding_seconds", "compile_seconds")},
            "circuit": self.circuit.to_json(),
            "choices": [asdict(choice) for choice in self.choices],
            "answers": self.answers,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Compiled":
        """What :meth:`to_json` described."""
        choices = [
            Choice(**{**choice, "inputs": tuple(choice["inputs"]), "weights": tuple(choice["weights"])})
            for choice in content["choices"]
        ]
        changes = {
            "circuit": ArithmeticCircuit.from_json(content["circuit"]),
            "choices": tuple(choices),
            "answers": tuple(tuple(answer) for answer in content["answers"]),
        }
        return cls(**{**content, **changes})


def compile_program(
    program: Program,
    pattern: Sequence[int],
    formula: LogicFormula | None = None,
    progress: Progress | None = None,
) -> Compiled:
    """Ground and compile a program's query.

    The ground program is evaluated as it stands where :mod:`nesy_gedi.logic.direct` proves that right,
    else compiled to an SDD.

    Args:
        program: the checked program.
        pattern: for each slot the first slot with the same image; ``0, 1, 2, …`` if all differ.
        formula: filled while grounding, for somebody else to watch.
        progress: called while compiling, with a text and a size.

    Raises:
        ProgramError: the program cannot be grounded, or query or evidence can never hold.
    """
    started = time.perf_counter()
    grounded = ground(program, pattern, formula)
    grounded = _with_unread_slots(program, pattern, grounded)
    ready = time.perf_counter()
    evidence = grounded.evidence
    roots: list[list[int | None]] = [[root, *evidence] for root in grounded.roots]
    if evidence:
        roots.append(list(evidence))
    if progress is not None:
        progress(f"{len(grounded.gates):,} gates", 0)
    circuit, method = direct_circuit(grounded, roots), "ground"
    if circuit is None:
        circuit, method = diagram_circuit(grounded, roots, progress), "sdd"
    compiled = Compiled(
        circuit,
        tuple(grounded.choices),
        tuple(grounded.answers),
        bool(evidence),
        method,
        ready - started,
        time.perf_counter() - ready,
    )
    return _only_possible(program, pattern, compiled)


def _worlds(compiled: Compiled) -> int:
    """Number of worlds that are possible."""
    never = compiled.never
    starts = compiled.circuit.starts
    return math.prod(
        sum(start + value not in never for value in range(size))
        for start, size in zip(starts, compiled.circuit.sizes, strict=True)
    )


def _with_unread_slots(program: Program, pattern: Sequence[int], grounded: Ground) -> Ground:
    """A choice also for slots that no network reads, where it is clear which network would."""
    if len(program.learned) == 1:
        (name,) = program.learned
        if any(len(neural.inputs) > 1 for neural in program.neural if neural.network == name):
            return grounded
        read = {slot for choice in grounded.choices if choice.name == name for slot in choice.inputs}
        for slot in dict.fromkeys(pattern):
            variable = str(program.slots[slot])
            if variable not in read and not any(variable in c.inputs for c in grounded.choices):
                size = len(program.domains[name])
                grounded.choices.append(Choice("network", name, (variable,), size))
    return grounded


def _only_possible(program: Program, pattern: Sequence[int], compiled: Compiled) -> Compiled:
    """Leave out answers that cannot be; refuse a query without any."""
    zero = [root == ZERO for root in compiled.circuit.roots]
    if compiled.never:
        zero = [count == 0 for count in compiled.circuit.counts(compiled.never)]
    if compiled.has_evidence and zero[-1]:
        atoms = ", ".join(str(atom) for atom, _ in program.evidence)
        raise program.source.error(
            program.evidence[0][0], f"the evidence on {atoms} can never hold together: mend it or its rules"
        )
    kept = [k for k in range(len(compiled.answers)) if not zero[k]]
    if not kept:
        raise _impossible(program, pattern)
    roots = [compiled.circuit.roots[k] for k in kept]
    if compiled.has_evidence:
        roots.append(compiled.circuit.roots[-1])
    circuit = replace(compiled.circuit, roots=tuple(roots))
    return replace(compiled, circuit=circuit, answers=tuple(compiled.answers[k] for k in kept))


def _impossible(program: Program, pattern: Sequence[int]) -> ProgramError:
    repeated = [i for i, first in enumerate(pattern) if i != first]
    given = " together with the evidence" if program.evidence else ""
    if repeated:
        pairs = ", ".join(f"{program.slots[pattern[i]]} and {program.slots[i]}" for i in repeated)
        message = f"{program.query} cannot hold{given} with one image in slots {pairs}: give different images"
    else:
        message = (
            f"no reading of the images satisfies the query {program.query}{given}: nothing to learn; "
            "mend its rules"
        )
    return program.source.error(program.query, message)
