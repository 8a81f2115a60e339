"""A table of the paper beside ours: a row for each data set and method, over seeds."""

import csv
import io
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nesy_gedi.reporting.run import environment, write_whole


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
        head = ["data", "method", "seeds", *self.measures, *["remark"] * remarks]
        lines = [f"# {self.title}", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        for row in self.rows:
            cells = [row.label, row.method, str(len(row.seeds))]
            cells += [self.cell(row, measure) for measure in self.measures]
            lines.append("| " + " | ".join([*cells, *[row.remark] * remarks]) + " |")
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
