"""``nesy-gedi runs compare``: figures of runs beside each other, by seed, and settings that differ."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from nesy_gedi.reporting.sinks import flat
from nesy_gedi.run_files import or_damaged, program_name, read_description, read_result

MEASURES = ("accuracy", "matched_accuracy", "nmi", "ari", "batch_nmi", "satisfied", "seconds", "restarts")
_ASIDE = ("command", "request")  # what was typed; what came of it is in the rest


class Spread(NamedTuple):
    """Mean and sample standard deviation over so many seeds; no deviation of one."""

    mean: float
    deviation: float | None
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        """None of no values."""
        if not values:
            return None
        return cls(
            statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None, len(values)
        )


@dataclass(frozen=True)
class Comparison:
    """Runs beside each other.

    Attributes:
        figures: by measure, of each run over its seeds; None where there is none.
        differences: by measure, of each run but the first: what it has more than the first, over the seeds
            that both have.
        settings: those that are not the same in all runs, by their path, as each run has them.
    """

    runs: tuple[Path, ...]
    figures: dict[str, list[Spread | None]]
    differences: dict[str, list[Spread | None]]
    settings: dict[str, list[Any]]

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        tables = {"figures": self.figures, "differences": self.differences}
        told = {
            name: {measure: [spread and spread._asdict() for spread in row] for measure, row in table.items()}
            for name, table in tables.items()
        }
        return {"runs": [str(run) for run in self.runs], **told, "settings": self.settings}


def compare_runs(runs: Sequence[Path]) -> Comparison:
    """Compare runs by their results and descriptions.

    Raises:
        UserError: one of them is no run, or damaged.
    """
    figures: dict[str, list[Spread | None]] = {}
    differences: dict[str, list[Spread | None]] = {}
    tables, seeds = [], []
    for run in runs:
        with or_damaged(run):
            description = read_description(run)
            tables.append(flat({key: value for key, value in description.items() if key not in _ASIDE}))
            seeds.append(_by_seed(read_result(run), program_name(description) is not None))
    for measure in MEASURES:
        values = [{seed: row[measure] for seed, row in rows.items() if measure in row} for rows in seeds]
        if any(values):
            first = values[0]
            pairs = [[found[seed] - first[seed] for seed in found if seed in first] for found in values[1:]]
            figures[measure] = [Spread.of(list(found.values())) for found in values]
            differences[measure] = [Spread.of(found) for found in pairs]
    keys = dict.fromkeys(key for table in tables for key in table)
    settings = {key: [table.get(key) for table in tables] for key in keys}
    differing = {key: row for key, row in settings.items() if any(value != row[0] for value in row)}
    return Comparison(tuple(runs), figures, differences, differing)


def _by_seed(result: Mapping[str, Any], named: bool) -> dict[int | None, dict[str, float]]:
    """Figures of each finished seed that there are; accuracy only where clusters have names.

    A run that was named afterwards is one training without a seed's number.
    """
    rows = result.get("seeds", [result] if result else [])
    wanted = [measure for measure in MEASURES if named or measure != "accuracy"]
    return {
        row.get("seed"): {measure: float(row[measure]) for measure in wanted if row.get(measure) is not None}
        for row in rows
    }
