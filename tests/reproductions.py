"""``reproduce`` with settings that take a second, into ``out`` (test support)."""

import io
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from nesy_gedi.evaluating import EvaluationOptions
from nesy_gedi.launching import HERE, Launching
from nesy_gedi.paper import reproduce_target
from nesy_gedi.request import Request

FEW = EvaluationOptions(samples=6, sampler_steps=1, features="classifier")


def reproduced(
    target: str,
    base: Request,
    datasets: tuple[str, ...],
    methods: tuple[str, ...],
    seeds: int = 1,
    options: EvaluationOptions = FEW,
    launching: Launching = HERE,
) -> str:
    """What it prints."""
    console = Console(file=io.StringIO(), width=200)
    reproduce_target(target, base, seeds, "out", datasets, methods, options, console, launching)
    return console.file.getvalue()  # type: ignore[attr-defined]


def rows_of(target: str) -> list[dict[str, Any]]:
    """The rows of the table that was written."""
    rows: list[dict[str, Any]] = json.loads(Path(f"out/cpu/{target}.json").read_text(encoding="utf-8"))[
        "rows"
    ]
    return rows
