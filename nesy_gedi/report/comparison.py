"""``nesy-gedi report RUN RUN …``: runs beside each other, paired by seed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from nesy_gedi.comparing import Spread, compare_runs
from nesy_gedi.report.material import Material
from nesy_gedi.report.overview import measures, terms_chart
from nesy_gedi.report.page import render
from nesy_gedi.report.pictures import chart
from nesy_gedi.report.record import Record

COMPARISON = "comparison.html"


def write_comparison(
    runs: Sequence[str | Path], data_dir: str | None = None, out: str | Path | None = None
) -> Path:
    """Write the comparison of finished runs.

    Args:
        runs: their folders.
        data_dir: where data sets lie now; by default where they lay.
        out: the file; by default ``comparison.html`` beside the first run.

    Returns:
        The file.

    Raises:
        UserError: one of them is no finished run, or the file cannot be written.
    """
    materials = [Material(run, data_dir=data_dir) for run in runs]
    records = [material.record for material in materials]
    compared = compare_runs([record.folder for record in records])
    shown: dict[str, Any] = {
        "title": " / ".join(record.name for record in records),
        "names": [record.name for record in records],
        "figures": {name: [_text(value) for value in row] for name, row in compared.figures.items()},
        "differences": {
            name: [_text(value, "+") for value in row] for name, row in compared.differences.items()
        },
        "settings": compared.settings,
        "headings": _headings(records),
        "measured": _measured(records),
        "paired": [_paired(records, name, heading) for name, heading in _shared(records).items()],
        "terms": [(material.record.name, terms_chart(material)) for material in materials],
    }
    path = Path(out) if out else records[0].folder.parent / COMPARISON
    return render(path, "comparison.html", shown)


def _text(value: Spread | None, sign: str = "") -> str:
    if value is None:
        return "–"
    mean = f"{value.mean:{sign}.3f}"
    return mean if value.deviation is None else f"{mean} ± {value.deviation:.3f}"


def _shared(records: Sequence[Record]) -> dict[str, str]:
    """Measures that all runs have, with their headings."""
    first, *others = [measures(record) for record in records]
    return {name: heading for name, heading in first.items() if all(name in found for found in others)}


def _headings(records: Sequence[Record]) -> list[str]:
    return ["seed", *_shared(records).values(), "seconds", "restarts"]


def _measured(records: Sequence[Record]) -> list[tuple[str, list[float | None]]]:
    """A row for each run and seed."""
    names = [*_shared(records), "seconds", "restarts"]
    return [
        (record.name, [float(seed.seed), *(seed.row()[name] for name in names)])
        for record in records
        for seed in record.seeds
    ]


def _paired(records: Sequence[Record], name: str, heading: str) -> Markup:
    """A measure of every seed, a line from run to run."""
    by_seed: dict[int, list[tuple[int, float]]] = {}
    for place, record in enumerate(records):
        for seed in record.seeds:
            value = seed.row()[name]
            if value is not None:
                by_seed.setdefault(seed.seed, []).append((place, value))

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        for seed, points in by_seed.items():
            axis.plot(*zip(*points, strict=True), marker="o", markersize=4, label=f"seed {seed}")
        axis.set_xticks(range(len(records)), [record.name for record in records], rotation=15)
        axis.set(ylabel=heading, xlim=(-0.3, len(records) - 0.7))

    alt = f"{heading} of each of {len(by_seed)} seeds in {', '.join(record.name for record in records)}"
    return chart(draw, alt, 1.6 + 1.2 * len(records), 2.6)
