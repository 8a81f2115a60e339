"""What can be said of a program before anything is trained: mistakes, doubts, size, reasoning shortcuts."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from problog.logic import Term

from nesy_gedi.logic.calls import Key, calls, goals, key_of
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.declarations import Program
from nesy_gedi.logic.examples import ExampleSource
from nesy_gedi.logic.limits import Limits
from nesy_gedi.logic.program import choose_query, read_program
from nesy_gedi.logic.slots import variables
from nesy_gedi.logic.source import ProgramError, read_source
from nesy_gedi.logic.statements import Statements

_SHOWN = 12  # symbols in a list before it is cut


@dataclass(frozen=True)
class Findings:
    """What a check has found.

    Attributes:
        path: the program.
        errors: mistakes, in the order of the text.
        warnings: doubts.
        summary: one line on a program without mistakes.
    """

    path: Path
    errors: list[ProgramError]
    warnings: list[ProgramError]
    summary: str

    def messages(self) -> Iterator[str]:
        """A line for each finding, as compilers write them, and the summary."""
        for kind, found in (("error", self.errors), ("warning", self.warnings)):
            for item in found:
                yield f"{item.path}:{item.line}:{item.column}: {kind}: {item.message}"
        if not self.errors:
            yield self.summary

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        places = {
            kind: [{"line": item.line, "column": item.column, "message": item.message} for item in found]
            for kind, found in (("errors", self.errors), ("warnings", self.warnings))
        }
        return {"program": str(self.path), **places}


def compiled(path: str, query: str | None, trusted: bool, timeout: float) -> ConstraintCircuit:
    """Read and compile a program.

    Args:
        path: the ``.pl`` file.
        query: which query is meant; None for the program's own.
        trusted: whether it may read files and run code.
        timeout: for grounding and compiling, seconds.
    """
    return ConstraintCircuit(read_program(path, query, trusted), limits=Limits(timeout))


def check_program(path: str, query: str | None, trusted: bool, timeout: float) -> Findings:
    """Look for mistakes and doubts.

    Args:
        path: as for :func:`compiled`.
        query: as for :func:`compiled`.
        trusted: as for :func:`compiled`.
        timeout: for grounding and compiling, seconds.
    """
    source = read_source(Path(path))
    statements = Statements(source, trusted)
    if statements.errors:
        return Findings(source.path, statements.errors, [], "")
    try:
        program = choose_query(statements, query)
        circuit = ConstraintCircuit(program, limits=Limits(timeout))
        warnings = [*_single_variables(program), *_unreachable(program), *_unread(circuit), *_always(circuit)]
    except ProgramError as error:
        return Findings(source.path, [error], [], "")
    warnings.sort(key=lambda warning: (warning.line, warning.column))
    slots = ", ".join(circuit.slots)
    return Findings(
        source.path, [], warnings, f"{source.path}: the query {program.query} is fine, images {slots}"
    )


def _single_variables(program: Program) -> Iterator[ProgramError]:
    clauses: dict[int, list[Term]] = {}  # a disjunction has a rule for each head, all with one body
    for head, body in program.rules:
        clauses.setdefault(id(head if body is None else body), []).append(head)
    for head, body in program.rules:
        heads = clauses.pop(id(head if body is None else body), None)
        if heads is None or head.functor == "_directive":
            continue
        names = Counter(str(v) for goal in goals(body) for v in variables(goal))
        for one in heads:
            names.update(str(v) for v in variables(one))
            if isinstance(one.probability, Term):
                names.update(str(v) for v in variables(one.probability))
        for name, count in names.items():
            if count == 1 and not name.startswith("_"):
                yield program.source.error(
                    head, f"the variable {name} stands here only once: a slip? write _{name} if it is meant"
                )


def _unreachable(program: Program) -> Iterator[ProgramError]:
    own = {key_of(head) for head, _ in program.rules}
    called: defaultdict[Key, set[Key]] = defaultdict(set)
    for head, body in program.rules:
        called[key_of(head)].update(call.key for call in calls(body, own))
    reached = {key_of(atom) for atom in (program.query, *(atom for atom, _ in program.evidence))}
    size = 0
    while size != (size := len(reached)):
        reached |= {key for caller in list(reached) for key in called[caller]}
    # of what only the unreachable call, it is enough to name the caller
    done = reached.union(*(keys - {caller} for caller, keys in called.items()))
    for head, _ in program.rules:
        key = key_of(head)
        if key in done or head.functor in ("_directive", "support"):
            continue
        done.add(key)
        yield program.source.error(
            head, f"{head.functor}/{head.arity} has no part in the query {program.query}"
        )


def _unread(circuit: ConstraintCircuit) -> Iterator[ProgramError]:
    """Networks that are never asked, and classes that no satisfying reading has."""
    program = circuit.program
    places = {neural.network: neural.head.probability for neural in program.neural}
    for name, place in places.items():
        if name not in circuit.networks:
            yield program.source.error(place, f"the query never asks {name}")
    if len(program.learned) == 1 and program.learned[0] in circuit.networks:
        source = ExampleSource(circuit)
        unused = [
            s for s, uses in zip(source.inputs.domain, source.expected_uses(), strict=True) if uses < 1e-12
        ]
        if unused:
            yield program.source.error(
                places[source.network],
                f"no reading that satisfies the query has {', '.join(unused)}: such images cannot be learned",
            )


def _always(circuit: ConstraintCircuit) -> Iterator[ProgramError]:
    if circuit.compiled.always:
        program = circuit.program
        yield program.source.error(
            program.query, f"the query {program.query} holds whatever the images show: nothing to learn"
        )


def facts(circuit: ConstraintCircuit) -> dict[str, Any]:
    """Networks, slots, symbols, satisfying worlds and size, as a table for JSON; times in seconds."""
    program, compiled = circuit.program, circuit.compiled
    return {
        "program": str(program.path),
        "query": str(program.query),
        "networks": {
            name: {
                "reads": [[circuit.slots[slot] for slot in slots] for slots in network.slots],
                "classes": list(network.domain),
            }
            for name, network in circuit.networks.items()
        },
        "symbols": [str(symbol) for symbol in program.symbols],
        "answers": list(circuit.answers) if program.symbols else [],
        "learnable": circuit.probabilities.described(),
        "evidence": {str(atom): value for atom, value in program.evidence},
        "satisfying": sum(compiled.circuit.counts()[: len(compiled.answers)]),
        "worlds": math.prod(compiled.circuit.sizes),
        "nodes": circuit.nodes,
        "edges": compiled.circuit.edges,
        "method": compiled.method,
        "grounding_seconds": compiled.grounding_seconds,
        "compile_seconds": compiled.compile_seconds,
    }


def describe(circuit: ConstraintCircuit) -> str:
    """:func:`facts` as lines of text."""
    found = facts(circuit)
    lines = [found["program"], f"  query      {found['query']}"]
    for name, network in found["networks"].items():
        reads, classes = ", ".join("+".join(slots) for slots in network["reads"]), network["classes"]
        lines.append(f"  network    {name} reads {reads} as {len(classes)} classes: {listed(classes)}")
    if found["symbols"]:
        names, answers = ", ".join(found["symbols"]), found["answers"]
        lines.append(f"  symbols    {names}: {len(answers)} answers: {listed(answers)}")
    for head, value in found["learnable"].items():
        lines.append(f"  learnable  {value:g} :: {head} at first")
    for atom, value in found["evidence"].items():
        lines.append(f"  evidence   {atom} is {'true' if value else 'false'}")
    what = "with one of the answers each" if found["symbols"] else "satisfy the query"
    lines.append(f"  worlds     {found['satisfying']:,} of {found['worlds']:,} {what}")
    how = "evaluated as grounded" if found["method"] == "ground" else "compiled to an SDD"
    lines.append(f"  circuit    {found['nodes']:,} sums and products, {found['edges']:,} edges, {how}")
    grounding, compiling = found["grounding_seconds"], found["compile_seconds"]
    return "\n".join([*lines, f"  time       {grounding:.2f} s grounding, {compiling:.2f} s compiling"])


def listed(symbols: Sequence[str]) -> str:
    """Symbols with commas between them, the middle left out where there are many."""
    if len(symbols) <= _SHOWN:
        return ", ".join(symbols)
    return ", ".join([*symbols[: _SHOWN - 2], "…", symbols[-1]])
