"""Reasoning shortcuts in words, and which of them a trained network has taken."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nesy_gedi.logic.shortcuts import Audit, Maps, Restriction
from nesy_gedi.logic.shortcuts_labels import Symbol

Domains = Mapping[str, Sequence[str]]
_INTENDED = "the intended reading"
_REMARKS: dict[Restriction, str] = {
    "marginal": "",
    "balanced": " (changes how often symbols occur: ruled out by the term prior, unless it is uniform)",
    "none": " (merges symbols: ruled out by the term prior)",
}


class LearnedMap(NamedTuple):
    """What a network reads symbols as.

    Attributes:
        map: for each true symbol what most of its images are read as; -1 if it has none.
        agreement: share of images that are read as the map says.
    """

    map: tuple[int, ...]
    agreement: float


def learned_map(true: NDArray[np.integer], read: NDArray[np.integer], classes: int) -> LearnedMap:
    """The map from true to read symbols that a network comes closest to.

    Args:
        true: label of each image, ``(n,)``, n at least 1.
        read: what the network reads, ``(n,)``.
        classes: size of the domain of both.
    """
    table = np.bincount(classes * true + read, minlength=classes**2).reshape(classes, classes)
    most = np.where(table.any(1), table.argmax(1), -1)
    return LearnedMap(tuple(most.tolist()), float(table.max(1).sum() / len(true)))


def describe(audit: Audit, domains: Domains, most: int = 10) -> str:
    """What an audit has found, as lines of text.

    Args:
        audit: the audit.
        domains: names of the symbols of each network.
        most: how many readings to list.
    """
    return "\n".join(
        [*_readings(audit, domains, most), f"verdict: {_verdict(audit)}", *_labels(audit, domains)]
    )


def _readings(audit: Audit, domains: Domains, most: int) -> Iterator[str]:
    if audit.identifiable():
        yield f"1 reading of the images keeps every example true: {_INTENDED}"
        return
    yield f"{audit.count:,} readings of the images keep every example true"
    if audit.unseen:
        yield f"  no example shows {_names(audit.unseen, domains)}: any reading will do, none is listed"
    listed = 0
    for restriction, remark in _REMARKS.items():
        maps = audit.maps(most + 1, restriction)  # first come those of the restriction before
        yield from (f"  {_reading(maps_, domains)}{remark}" for maps_ in maps[listed:most])
        listed = len(maps)
    if listed > most:
        yield "  …"


def _reading(maps: Maps, domains: Domains) -> str:
    parts = []
    for network, readings in maps.items():
        names = domains[network]
        known = {k: read for k, read in enumerate(readings) if read >= 0}
        wrong = [f"{names[k]}->{names[read]}" for k, read in known.items() if read != k]
        if wrong and len(known) > 1 and len(set(known.values())) == 1:
            whose = f" of {network}" if len(maps) > 1 else ""
            parts.append(f"every image{whose} is read as {names[next(iter(known.values()))]}")
        elif wrong:
            parts.append((f"{network}: " if len(maps) > 1 else "") + ", ".join(wrong))
    return "; ".join(parts) or _INTENDED


def _verdict(audit: Audit) -> str:
    if audit.identifiable():
        return "identifiable from the constraint alone"
    if audit.identifiable("balanced"):
        return "identifiable with the constraint and the term prior"
    if audit.identifiable("marginal"):
        return (
            f"identifiable with the constraint and the term prior set to the program's marginal; a uniform "
            f"prior leaves {audit.balanced:,} readings"
        )
    left = ", ".join(f"{number:,} {condition}" for _, condition, number in _conditions(audit))
    return f"not identifiable: readings left: {left}"


def _labels(audit: Audit, domains: Domains) -> Iterator[str]:
    for restriction, condition, number in _conditions(audit):
        if number > 1:
            labelled = _names(audit.supervision(restriction), domains)
            yield f"{condition}, labels for images of {labelled} suffice"


def _conditions(audit: Audit) -> Iterator[tuple[Restriction, str, int]]:
    """Restrictions, what they are in words, and how many readings they leave."""
    yield "none", "with the constraint alone", audit.count
    if audit.balanced == audit.marginal:
        yield "marginal", "with the term prior", audit.marginal
    else:
        yield "balanced", "with a uniform term prior", audit.balanced
        yield "marginal", "with the term prior set to the program's marginal", audit.marginal


def _names(symbols: Sequence[Symbol], domains: Domains) -> str:
    """The symbols in the order of their domains, with their network where there are several."""
    parts = []
    for network, names in domains.items():
        own = ", ".join(names[k] for name, k in sorted(symbols) if name == network)
        if own:
            parts.append(own + (f" ({network})" if len(domains) > 1 else ""))
    return " and ".join(parts)
