"""A table of the paper beside ours: a row for each data set and method, over seeds."""

import csv
import io
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from nesy_gedi.data.images import ImageSet
from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.clustering import ClusteringScore, kmeans_pixels
from nesy_gedi.reporting.run import environment
from nesy_gedi.writing import write_whole

_TITLES = {
    "representational": "representational collapse ruled out",
    "cluster": "cluster collapse ruled out",
    "label": "label inconsistency ruled out",
    "at_optimum": "terms at their optimum",
}  # of columns whose names do not say it

_RULED_OUT = (
    "`representational`, `cluster` and `label` are shares of seeds whose terms rule this failure out: 1 is "
    "ruled out in every seed, 0 in none; – where the method's terms do not decide."
)
_LEGENDS = {
    "representational": _RULED_OUT,
    "cluster": _RULED_OUT,
    "label": _RULED_OUT,
    "at_optimum": "`at_optimum` is the share of seeds whose terms ended as close to their optima as the "
    "recipe's `restart_above` wants: 1 is every seed, 0 none; – where the recipe wants nothing.",
    "auroc": "`auroc_SET` tells the test images from SET's by log p(x), `gradient_auroc_SET` by "
    "−‖∂ log p(x)/∂x‖; the paper has both. 1 is perfect, 0.5 is chance, and below it SET's score higher.",
}


def legends(measures: Sequence[str]) -> list[str]:
    """What columns mean whose names alone may be misread, a sentence each."""
    kinds = ["auroc" if "auroc_" in measure else measure for measure in measures]
    return list(dict.fromkeys(_LEGENDS[kind] for kind in kinds if kind in _LEGENDS))


@dataclass(frozen=True)
class TableRow:
    """One row.

    Attributes:
        label: data set, and what else tells the row from others.
        seeds: those that were finished.
        values: of each measure, one for each seed that has it.
        published: the paper's figures by measure.
        remark: what is missing, and why.
    """

    label: str
    method: str
    seeds: tuple[int, ...]
    values: Mapping[str, list[float]]
    published: Mapping[str, float]
    remark: str = ""


@dataclass(frozen=True)
class PaperTable:
    """A table.

    Attributes:
        measures: columns, by name.
        median: whether rows are medians over seeds, not means.
        notes: what the figures were made with, in sentences.
    """

    title: str
    measures: tuple[str, ...]
    rows: Sequence[TableRow]
    median: bool = False
    notes: Sequence[str] = ()

    def summary(self, row: TableRow, measure: str) -> tuple[float | None, float | None]:
        """Mean (or median) and sample standard deviation over seeds, where there are enough."""
        values = row.values.get(measure, [])
        middle = statistics.median if self.median else statistics.mean
        return (
            middle(values) if values else None,
            statistics.stdev(values) if len(values) > 1 else None,
        )

    def cell(self, row: TableRow, measure: str) -> str:
        """As it is shown; the paper's figure in brackets."""
        middle, spread = self.summary(row, measure)
        text = "–" if middle is None else f"{middle:.3f}"
        text += "" if spread is None else f" ± {spread:.3f}"
        return text + (f" ({row.published[measure]:.2f})" if measure in row.published else "")

    def markdown(self) -> str:
        """A column for remarks only where there are some."""
        remarks = any(row.remark for row in self.rows)
        titles = [_TITLES.get(measure, measure) for measure in self.measures]
        head = ["data", "method", "seeds", *titles, *["remark"] * remarks]
        lines = [f"# {self.title}", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        for row in self.rows:
            cells = [row.label, row.method, str(len(row.seeds))]
            cells += [self.cell(row, measure) for measure in self.measures]
            remark = " ".join(row.remark.split()).replace("|", "\\|")
            lines.append("| " + " | ".join([*cells, *[remark] * remarks]) + " |")
        middle = "Median" if self.median else "Mean"
        legend = f"{middle} ± standard deviation over seeds; the paper's figure in brackets."
        return "\n\n".join(["\n".join(lines), legend, *self.notes]) + "\n"

    def comma_separated(self) -> str:
        """A line for each row and measure: middle, deviation, number of seeds, the paper's figure."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        middle = "median" if self.median else "mean"
        writer.writerow(["data", "method", "measure", middle, "std", "seeds", "published", "remark"])
        for row in self.rows:
            for measure in self.measures:
                count, published = len(row.values.get(measure, [])), row.published.get(measure)
                figures = [*self.summary(row, measure), count, published, row.remark]
                writer.writerow([row.label, row.method, measure, *figures])
        return file.getvalue()

    def as_json(self, command: str, machine: Mapping[str, Any]) -> str:
        """Everything, every seed's figure included."""
        rows = [
            {
                "data": row.label,
                "method": row.method,
                "seeds": list(row.seeds),
                "values": {measure: row.values.get(measure, []) for measure in self.measures},
                "published": dict(row.published),
                "remark": row.remark,
            }
            for row in self.rows
        ]
        content = {
            "title": self.title,
            "command": command,
            "environment": machine,
            "notes": list(self.notes),
            "rows": rows,
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    def write(self, path: Path, command: str) -> list[Path]:
        """Write ``path`` with ``.md``, ``.csv`` and ``.json``, each whole."""
        machine = environment()
        made = (
            f"`{command}`; {machine['processor']}, {machine['threads']} threads, "
            f"torch {machine['packages']['torch']}, commit {machine['commit']}."
        )
        path.parent.mkdir(parents=True, exist_ok=True)  # there are no runs if no data set is there
        contents = {
            ".md": f"{self.markdown()}\n{made}\n",
            ".csv": self.comma_separated(),
            ".json": self.as_json(command, machine),
        }
        for ending, content in contents.items():
            write_whole(path.with_suffix(ending), content)
        return [path.with_suffix(ending) for ending in contents]


def measured_figures(measured: Mapping[str, Any], features: str) -> dict[str, float]:
    """The columns that a run's ``evaluation.json`` gives; what was not measured is not there.

    Args:
        measured: its content.
        features: space of the distances for ``frechet`` and ``kernel``.
    """
    found = {name: measured[name]["accuracy"] for name in ("probe", "knn") if name in measured}
    for other, scores in measured.get("ood", {}).items():
        found[f"auroc_{other}"] = scores["logpx"]["auroc"]
        found[f"gradient_auroc_{other}"] = scores["gradient"]["auroc"]
    if "kmeans" in measured:
        found["kmeans_nmi"] = measured["kmeans"]["nmi"]
    for name, value in measured.get("generation", {}).get(features, {}).items():
        if name.startswith(("FID", "FD")):
            found["frechet"] = value
        elif name.startswith(("KID", "KD")) and not name.endswith("deviation"):
            found["kernel"] = value
    return {name: float(value) for name, value in found.items()}


def generation_note(measured: Mapping[str, Any], features: str) -> str:
    """What a distance was made with; empty where none was measured."""
    result = measured.get("generation", {}).get(features)
    if result is None:
        return ""
    made = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in result["settings"].items())
    frechet, kernel, _ = (name for name in result if name not in ("settings", "remarks"))
    return " ".join([f"frechet is {frechet}, kernel is {kernel}: {made}.", *result["remarks"]])


def kmeans_row(images: ImageSet, path: Path, label: str, measures: Sequence[str]) -> TableRow:
    """A row for k-means on raw pixels; kept in a file, because it takes minutes."""
    wanted = {"sha256": images.sha256, "clusters": images.classes}
    score = _kept_score(path, wanted)
    if score is None:
        try:
            score = asdict(kmeans_pixels(images, images.classes))
        except UserError as error:
            return TableRow(label, "k-means on pixels", (), {}, {}, str(error))
        write_whole(path, json.dumps({**wanted, "score": score}, indent=1) + "\n")
    # the centres' numbers are arbitrary: agreement without matching would be a random number
    values = {name: [score[name]] for name in measures if name in score and name != "accuracy"}
    return TableRow(label, "k-means on pixels", (0,), values, {})


def _kept_score(path: Path, wanted: Mapping[str, Any]) -> dict[str, float] | None:
    """The score in a file; None if it is not there, damaged, or of other data."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if {key: content[key] for key in wanted} != wanted:
            return None
        return {field.name: float(content["score"][field.name]) for field in fields(ClusteringScore)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
