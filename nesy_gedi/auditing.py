"""``nesy-gedi program audit``: which other readings of the images satisfy a program."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from nesy_gedi.errors import UserError
from nesy_gedi.inspection import listed
from nesy_gedi.logic.arithmetic import ArithmeticCircuit
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.examples import ExampleSource, support_readings
from nesy_gedi.logic.shortcuts import Audit, Maps, Restriction, audit
from nesy_gedi.logic.shortcuts_labels import Symbol
from nesy_gedi.logic.worlds import possible, worlds_of

_MOST_WORLDS = 100_000  # of more, a sample is taken as the support
_SAMPLE = 20_000
_ENOUGH = {
    "none": "nesy",
    "balanced": "nesy and prior",
    "marginal": "nesy and the program's own marginal as prior",
}


def audit_program(circuit: ConstraintCircuit, support: str | None, most: int) -> Iterator[str]:
    """Count and list a program's reasoning shortcuts, as lines of text.

    Args:
        circuit: of the program.
        support: which true readings occur, see :func:`parse_support`; by default the program's facts
            ``support(…)``, else all readings that satisfy it.
        most: how many readings to list.

    Raises:
        UserError: the support does not fit the program.
    """
    found, what = audited(circuit, support)
    domains = circuit.program.domains
    yield f"{circuit.program.path}, query {circuit.program.query}: {what}"
    satisfy = "reading of the symbols satisfies" if found.count == 1 else "readings of the symbols satisfy"
    yield f"{found.count:,} {satisfy} all of them"
    marginal = found.maps(most, "marginal")
    listed_maps = found.maps(most + 1)
    for maps in listed_maps[:most]:
        yield f"  {reading_in_words(maps, domains)}{'' if maps in marginal else f'   ({ruled_out_by(maps)})'}"
    if len(listed_maps) > most:  # a listed map stands for all readings of symbols that no image shows
        yield "  … and more" if found.unseen else f"  … and {found.count - most:,} more"
    yield f"with clusters kept balanced by the term prior: {found.balanced:,}"
    yield f"with the prior set to the program's own marginal: {found.marginal:,}"
    if found.unseen:
        yield f"no image shows {_symbols(found.unseen, domains)}: how these are read is open"
    yield from verdict(found, domains)


def audit_facts(circuit: ConstraintCircuit, support: str | None, most: int) -> dict[str, Any]:
    """A program's reasoning shortcuts as a table for JSON; arguments and errors as for :func:`audit_program`.

    ``readings`` are by network, from true to read symbol; null is any. ``identifiable`` says which terms
    leave the intended reading alone, ``labels`` whose images would have to be labelled where none do.
    """
    found, what = audited(circuit, support)
    domains = circuit.program.domains
    enough = next((kind for kind in get_args(Restriction) if found.identifiable(kind)), None)
    labels = () if enough else found.supervision("marginal")
    return {
        "program": str(circuit.program.path),
        "query": str(circuit.program.query),
        "support": what,
        "count": found.count,
        "balanced": found.balanced,
        "marginal": found.marginal,
        "readings": [
            {
                network: {
                    symbol: None if j == -1 else domains[network][j]
                    for symbol, j in zip(domains[network], reading, strict=True)
                }
                for network, reading in maps.items()
            }
            for maps in found.maps(most)
        ],
        "unseen": [[network, domains[network][k]] for network, k in found.unseen],
        "identifiable": enough and _ENOUGH[enough],
        "labels": [[network, domains[network][k]] for network, k in labels],
    }


def reading_in_words(maps: Maps, domains: Mapping[str, tuple[str, ...]]) -> str:
    """One map for each network, in words.

    Args:
        maps: one of :meth:`~nesy_gedi.logic.shortcuts.Audit.maps`.
        domains: symbols of each network.
    """
    parts = []
    for network, reading in maps.items():
        domain = domains[network]
        changed = [(k, j) for k, j in enumerate(reading) if j not in (k, -1)]
        where = f"{network}: " if len(maps) > 1 else ""
        if not changed:
            parts.append(f"{where}every symbol as what it is")
        elif len({j for j in reading if j != -1}) == 1:
            parts.append(f"{where}every image as {domain[next(j for j in reading if j != -1)]}")
        else:
            parts.append(where + ", ".join(f"{domain[k]} as {domain[j]}" for k, j in changed))
    return "; ".join(parts)


def ruled_out_by(maps: Maps) -> str:
    """What rules a map out that the marginal does not allow."""
    seen = [[j for j in reading if j != -1] for reading in maps.values()]
    if any(len(set(reading)) < len(reading) for reading in seen):
        return "merges symbols: the term prior rules it out"
    return "ruled out by the program's own marginal as prior"


def _symbols(symbols: Sequence[Symbol], domains: Mapping[str, tuple[str, ...]]) -> str:
    several = len({network for network, _ in symbols}) > 1
    return ", ".join(
        f"{network} {domains[network][k]}" if several else domains[network][k] for network, k in symbols
    )


def verdict(found: Audit, domains: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Whether the program tells its readings apart, and what would, as lines of text."""
    if found.identifiable():
        yield "identifiable: the term nesy alone leaves only the intended reading"
    elif found.identifiable("balanced"):
        yield "identifiable with the terms nesy and prior together; nesy alone has the shortcuts above"
    elif found.identifiable("marginal"):
        yield "identifiable with the terms nesy and prior, the prior set to the program's own marginal"
    else:
        yield "not identifiable: nothing in the program tells the readings above apart"
        labels = found.supervision("marginal")
        yield f"enough beside nesy and prior: labelled images of {_symbols(labels, domains)}"


def audited(circuit: ConstraintCircuit, support: str | None = None) -> tuple[Audit, str]:
    """The audit of a program, and a sentence on the support it rests on; see :func:`audit_program`."""
    readings = support_readings(circuit) if support is None else parse_support(circuit, support)
    learned = set(circuit.program.learned)
    names = [choice.name if choice.name in learned else None for choice in circuit.compiled.choices]
    roots = circuit.compiled.circuit.roots[: len(circuit.compiled.answers)]
    answers_only = ArithmeticCircuit(circuit.compiled.circuit.sizes, circuit.compiled.circuit.nodes, roots)
    if readings is not None:
        worlds, answers = _given(circuit, readings)
        what = f"{len(readings):,} reading{'s' * (len(readings) != 1)} that the support lists"
    elif sum(answers_only.counts()) <= _MOST_WORLDS:
        worlds, answers = worlds_of(answers_only)
        what = "all readings that satisfy the program"
    else:
        worlds, answers = _sampled(circuit)
        what = f"a sample of {_SAMPLE:,} readings that satisfy the program: there may be fewer shortcuts"
    kept = np.array([choice.kind == "network" for choice in circuit.compiled.choices])
    worlds[:, ~kept] = -1
    return audit(answers_only, names, worlds, answers), what


def _given(circuit: ConstraintCircuit, readings: torch.Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Worlds of readings, once with every answer and every label that satisfies them."""
    network = circuit.program.single_network()
    variables = circuit.variables(network)
    worlds = np.full((len(readings), len(circuit.compiled.choices)), -1, dtype=np.int64)
    worlds[:, variables] = readings.numpy()
    holds = possible(circuit.compiled.circuit, worlds)[:, : len(circuit.compiled.answers)]
    if not holds.any(1).all():
        domain = circuit.program.domains[network]
        reading = " ".join(domain[k] for k in readings[int(holds.any(1).argmin())].tolist())
        raise UserError(
            f"the support has the reading {reading!r}, which does not satisfy {circuit.program.query}: "
            "mend it or leave it out"
        )
    if len(variables) == len([c for c in circuit.compiled.choices if c.kind == "network"]):
        rows, answers = holds.nonzero()
        return worlds[rows], answers
    source = ExampleSource(circuit)
    source.support = readings
    return _drawn(circuit, source)


def _sampled(circuit: ConstraintCircuit) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return _drawn(circuit, ExampleSource(circuit))


def _drawn(circuit: ConstraintCircuit, source: ExampleSource) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    readings = source.draw(_SAMPLE, torch.Generator().manual_seed(0))
    worlds = np.full((_SAMPLE, len(circuit.compiled.choices)), -1, dtype=np.int64)
    worlds[:, circuit.variables(source.network)] = readings.classes.numpy()
    for name, classes in readings.observed.items():
        worlds[:, circuit.variables(name)] = classes.numpy()
    return worlds, readings.answers.numpy()


def parse_support(circuit: ConstraintCircuit, text: str) -> torch.Tensor:
    """True readings as text: symbols apart by blanks or commas, readings by ``;`` or lines; or a file.

    Returns:
        Classes of the inputs of the network that learns, ``(readings, slots)``.

    Raises:
        UserError: the file is no text, or a reading has another number of symbols, or one that is not in
            the domain.
    """
    if len(circuit.program.learned) != 1:
        raise UserError(
            f"--support lists readings of one network, {circuit.program.path} has "
            f"{len(circuit.program.learned)} that see images: leave it out, all that satisfy are taken"
        )
    network = circuit.networks[circuit.program.single_network()]
    if os.path.isfile(text):  # pathlib's raises an error where the text is too long for a name
        try:
            text = Path(text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--support: cannot read {text} as text ({error})") from error
    rows = []
    for number, entry in enumerate(text.replace(";", "\n").splitlines(), 1):
        symbols = entry.replace(",", " ").split()
        if not symbols:
            continue
        unknown = [symbol for symbol in symbols if symbol not in network.domain]
        if unknown or len(symbols) != len(network.slots):
            what = f"{unknown[0]} is not in the domain" if unknown else f"{len(symbols)} symbols"
            raise UserError(
                f"--support, reading {number}, {entry.strip()!r}: {what}; give {len(network.slots)} of "
                f"{listed(network.domain)}, as in '{' '.join(network.domain[:1] * len(network.slots))}; …'"
            )
        rows.append([network.domain.index(symbol) for symbol in symbols])
    if not rows:
        raise UserError("--support: no reading in it; write them as '0 0; 0 1; 2 3'")
    return torch.tensor(rows)
