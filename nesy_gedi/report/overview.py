"""The beginning and the end of a report: what was asked and got, the terms, and how to make it again."""

import json
import shlex
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from nesy_gedi.evaluation.own_terms import failure_figures
from nesy_gedi.report.material import Material
from nesy_gedi.report.pictures import chart
from nesy_gedi.report.record import Record
from nesy_gedi.reporting.figures import plot_term
from nesy_gedi.reporting.published import published
from nesy_gedi.reporting.table import NAMED, UNNAMED, reading_sentence, rollback_sentence


def asked(record: Record) -> str:
    """What was asked, in a sentence."""
    description = record.description
    request, data = description["request"], description["data"]
    what = f"the {data['train']:,} training {'images' if data['bounded'] else 'points'} of {data['name']}"
    if description["program"] is not None:
        count = request["examples"]
        examples = f"{count:,} examples of " if count else ""
        return (
            f"Learn to read images of {data['name']} from {examples}{description['query']}, without labels."
        )
    if request["examples"]:
        what = f"{request['examples']:,} of {what}"
    return f"Find {description['config']['network']['classes']} clusters in {what}, without labels."


def got(record: Record, symbols: tuple[str, ...] | None) -> str:
    """What came of it, in a sentence.

    Args:
        record: of the run.
        symbols: names of the classes, if they are known and the clusters have them.
    """
    best = record.best
    if best is None:
        scores = {name: record.scores.get(name) for name in measures(record)}
        return f"{_scores(scores, record)}: the clusters were named, and nothing was trained."
    row = best.row()
    scores = {name: row[name] for name in measures(record)}
    seconds = f"{best.seconds:,.0f} seconds" if best.seconds >= 1 else f"{best.seconds:.2f} seconds"
    seeds = f"; the best of {len(record.seeds)} seeds by their own terms" if len(record.seeds) > 1 else ""
    read = f"; {reading_sentence(symbols, best.reads_as)}" if symbols and best.reads_as is not None else ""
    return f"{_scores(scores, record)}, after {seconds}{seeds}{read}."


def _scores(scores: Mapping[str, float | None], record: Record) -> str:
    told = [f"{measures(record)[name]} {value:.3f}" for name, value in scores.items() if value is not None]
    text = ", ".join(told) or "there are no labels to score it by"
    return text[0].upper() + text[1:]


def measures(record: Record) -> Mapping[str, str]:
    """The measures of a run with their headings: clusters have names if there is a program."""
    return NAMED if record.description["program"] is not None else UNNAMED


@dataclass(frozen=True)
class Row:
    """A line of the table of measures: a seed, the median, or the paper."""

    title: str
    values: list[float | None]


def measured(record: Record) -> list[Row]:
    """Every seed's measures, their median if there are several, and the paper's."""
    names = list(measures(record))
    rows = [
        Row(f"seed {seed.seed}", [*(seed.row()[name] for name in names), seed.seconds, float(seed.restarts)])
        for seed in record.seeds
    ]
    if not rows:
        rows = [Row("named", [*(record.scores.get(name) for name in names), None, None])]
    if len(rows) > 1:
        columns = [[row.values[k] for row in rows] for k in range(len(rows[0].values))]
        rows.append(Row("median", [_median(column) for column in columns]))
    title, paper = published(record.description)
    if paper:
        rows.append(Row(title, [*(paper.get(name) for name in names), None, None]))
    return rows


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


@dataclass(frozen=True)
class Terms:
    """The terms of the training that was kept.

    Attributes:
        chart: over the epochs.
        values: term, its value and its optimum at the end, nats.
        verdicts: failure mode, whether it is ruled out (None if not decided), since which epoch, and why.
    """

    chart: Markup
    values: list[tuple[str, float, float | None]]
    verdicts: list[tuple[str, bool | None, int | None, str]]


def terms_of(material: Material) -> Terms | None:
    """The terms beside their optima, and what they rule out; None if nothing was trained."""
    record = material.record
    if record.best is None:
        return None
    network = material.trained.network.config
    units = network.projection or network.classes
    figures = failure_figures(record.best.terms, record.epochs, material.optima, network.classes, units)
    values = [(name, entry["value"], entry["optimum"]) for name, entry in figures["terms"].items()]
    verdicts = [
        (mode, entry["ruled_out"], entry["from_epoch"], entry["reason"])
        for mode, entry in figures["verdicts"].items()
    ]
    return Terms(terms_chart(material), values, verdicts)


def terms_chart(material: Material) -> Markup:
    """The terms of the training that was kept, over its epochs; empty if the log does not hold it."""
    epochs = material.record.epochs
    names = list(dict.fromkeys(name for line in epochs for name in line["terms"]))

    def draw(figure: Figure) -> None:
        for axis, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            plot_term(axis, epochs, name, material.optima.get(name))

    if not names:
        return Markup("")
    ends = ", ".join(f"{name} ends at {epochs[-1]['terms'][name]:.3f}" for name in names)
    alt = f"the terms over {len(epochs)} epochs, in nats, their optima dashed: {ends}"
    return chart(draw, alt, 2.4 * len(names), 2.3)


def remarks(record: Record) -> list[str]:
    """Restarts and rollbacks, in sentences."""
    found = []
    if record.restarts:
        of = f" in {len(record.seeds)} seeds" if len(record.seeds) > 1 else ""
        found.append(f"{record.restarts} trainings were thrown away and begun anew{of}, by their own terms.")
    for seed, rollback in record.rollbacks:
        found.append(f"Seed {seed} {rollback_sentence(rollback)}.")
    return found


def again(record: Record) -> list[tuple[str, str]]:
    """All that is needed to make the run again: command, data, versions, machine."""
    description = record.description
    environment, data = description["environment"], description["data"]
    packages = ", ".join(f"{name} {number}" for name, number in environment["packages"].items())
    return [
        ("command", shlex.join(description["command"])),
        ("data", f"{data['name']}: {data['source']}"),
        ("SHA-256 of the data", data["sha256"]),
        ("versions", f"Python {environment['python']}, {packages}"),
        ("commit", environment["commit"] or "an installed package"),
        ("machine", f"{environment['processor']}, {environment['threads']} of {environment['cores']} cores"),
        ("device and precision", f"{description['device']}, {description['precision']}"),
        ("processes", str(description.get("processes", 1))),
    ]


def configuration(record: Record) -> list[tuple[str, str]]:
    """Every setting, ``sampler.steps`` and its like, with its value."""
    return list(_flat(record.description["config"]))


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value, ensure_ascii=False)
