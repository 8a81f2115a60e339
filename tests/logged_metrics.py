"""Metrics of runs, read back by other readers than those that wrote them."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nesy_gedi.evaluation.own_terms import logged_epochs
from nesy_gedi.reporting.sinks import flat
from nesy_gedi.run_files import METRICS


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / METRICS).read_text(encoding="utf-8").splitlines()]


def table_of(folder: Path) -> list[dict[str, Any]]:
    """The rows of metrics.csv, cells read as JSON, without the empty ones."""
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    assert all(None not in row and None not in row.values() for row in rows)
    return [{key: json.loads(cell) for key, cell in row.items() if cell} for row in rows]


def without_nones(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in flat(row).items() if value is not None}


def events(folder: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """By training and tag: steps and values as TensorBoard reads them."""
    found = {}
    for path in (folder / "tensorboard").iterdir():
        reader = EventAccumulator(str(path), size_guidance={"scalars": 0}).Reload()
        found[path.name] = {
            tag: [(event.step, event.value) for event in reader.Scalars(tag)]
            for tag in reader.Tags()["scalars"]
        }
    return found


def expected(folder: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """The same from the log, of whose epochs that were gone over again the last lines count; float32."""
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for seed in {row["seed"] for row in log_of(folder)}:
        for attempt, rows in logged_epochs(folder / METRICS, seed).items():
            tags = found.setdefault(f"seed-{seed}" + (f"-restart-{attempt}" if attempt else ""), {})
            for row in rows:
                for key, value in flat(row).items():
                    if isinstance(value, (int, float)) and key not in ("seed", "attempt", "epoch"):
                        pair = (row["epoch"], float(np.float32(value)))
                        tags.setdefault(key.replace(".", "/"), []).append(pair)
    return found
