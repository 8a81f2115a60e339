"""A table of the paper beside ours: a row for each data set and method, mean ± deviation over seeds."""

import csv
import io
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nesy_gedi.evaluation.failures import verdicts
from nesy_gedi.evaluation.report import read_results
from nesy_gedi.gedi.checkpoint import load_run
from nesy_gedi.reporting.run import RESULT, environment


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        values: of each measure, one for each seed that has it.
        published: the paper's figures by measure.
        remark: why there is nothing, if so.
    """

    dataset: str
    method: str
    seeds: tuple[int, ...]
    values: Mapping[str, list[float]]
    published: Mapping[str, float]
    remark: str = ""

    def cell(self, measure: str) -> str:
        """Mean ± sample standard deviation; the paper's figure in brackets."""
        values = self.values.get(measure, [])
        text = "–"
        if values:
            text = f"{statistics.mean(values):.3f}"
            if len(values) > 1:
                text += f" ± {statistics.stdev(values):.3f}"
        return text + (f" ({self.published[measure]:.2f})" if measure in self.published else "")


def figures_of(folder: Path, optima: Mapping[str, float | None]) -> dict[str, float]:
    """All figures of a finished run by measure.

    ``at_optimum``, ``representational``, ``cluster`` and ``label`` are 1 or 0: whether the terms alone,
    without labels, rule out all failures, or this one.
    """
    (seed,) = json.loads((folder / RESULT).read_text(encoding="utf-8"))["seeds"]
    network, _ = load_run(folder)
    config = network.config
    found = {key: float(value) for key, value in seed.items() if isinstance(value, int | float)}
    decided = verdicts(seed["terms"], optima, config.classes, config.projection or config.classes)
    for verdict in decided:
        found[verdict.mode.split()[0]] = float(verdict.ruled_out is True)
    found["at_optimum"] = float(all(verdict.ruled_out for verdict in decided))
    measured = read_results(folder)
    for other, scores in measured.get("ood", {}).items():
        found[f"auroc_{other}"] = scores["logpx"]["auroc"]
    for name in ("probe", "knn"):
        if name in measured:
            found[name] = measured[name]["accuracy"]
    if "kmeans" in measured:
        found["kmeans_nmi"] = measured["kmeans"]["nmi"]
    for result in measured.get("generation", {}).values():
        found["distance"] = next(
            v for k, v in result.items() if isinstance(v, float) and "deviation" not in k
        )
    return found


def markdown(title: str, measures: Sequence[str], rows: Sequence[Row], notes: Sequence[str]) -> str:
    """A table with the paper's figures in brackets."""
    head = ["data", "method", "seeds", *measures]
    lines = [f"# {title}", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows:
        cells = [
            row.remark or row.cell(measures[0]),
            *("" if row.remark else row.cell(m) for m in measures[1:]),
        ]
        lines.append("| " + " | ".join([row.dataset, row.method, str(len(row.seeds)), *cells]) + " |")
    return "\n".join(
        [*lines, "", "Mean ± standard deviation over seeds; the paper's figure in brackets.", *notes, ""]
    )


def comma_separated(measures: Sequence[str], rows: Sequence[Row]) -> str:
    """A line for each row and measure: mean, standard deviation, number of seeds, the paper's figure."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["dataset", "method", "measure", "mean", "std", "seeds", "published", "remark"])
    for row in rows:
        for measure in measures:
            values = row.values.get(measure, [])
            mean = statistics.mean(values) if values else ""
            spread = statistics.stdev(values) if len(values) > 1 else ""
            published = row.published.get(measure, "")
            writer.writerow(
                [row.dataset, row.method, measure, mean, spread, len(values), published, row.remark]
            )
    return file.getvalue()


def write_table(
    path: Path, title: str, measures: Sequence[str], rows: Sequence[Row], command: str
) -> list[Path]:
    """Write ``path`` with ``.md``, ``.csv`` and ``.json``: whole files or none."""
    machine = environment()
    notes = ["", f"`{command}`; {machine['processor']}, {machine['threads']} threads, torch "
             f"{machine['packages']['torch']}, commit {machine['commit']}."]  # fmt: skip
    content: dict[str, Any] = {
        "title": title,
        "command": command,
        "environment": machine,
        "rows": [
            {
                "dataset": row.dataset,
                "method": row.method,
                "seeds": list(row.seeds),
                "values": {measure: row.values.get(measure, []) for measure in measures},
                "published": dict(row.published),
                "remark": row.remark,
            }
            for row in rows
        ],
    }
    texts = {
        ".md": markdown(title, measures, rows, notes),
        ".csv": comma_separated(measures, rows),
        ".json": json.dumps(content, indent=1, ensure_ascii=False) + "\n",
    }
    path.parent.mkdir(parents=True, exist_ok=True)  # there are no runs if no data set is there
    for ending, text in texts.items():
        partial = path.with_suffix(ending + ".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path.with_suffix(ending))
    return [path.with_suffix(ending) for ending in texts]
