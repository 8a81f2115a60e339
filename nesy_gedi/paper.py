"""A whole target of ``nesy-gedi reproduce``: its trainings, then its table or figure."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from nesy_gedi.data.sets import load_data_set
from nesy_gedi.evaluating import EvaluationOptions
from nesy_gedi.reporting import paper_figures
from nesy_gedi.reporting.paper_table import Row, figures_of, markdown, write_table
from nesy_gedi.reproducing import Outcome, Target, find_target, request_for, specification, train_all
from nesy_gedi.request import Request, prepare


def list_targets() -> list[str]:
    """A line for each target."""
    targets, _ = specification()
    return [f"{name:9} {target.title}" for name, target in targets.items()]


def reproduce_target(
    name: str,
    base: Request,
    seeds: int,
    out: str,
    datasets: tuple[str, ...],
    methods: tuple[str, ...],
    evaluation: EvaluationOptions,
    console: Console,
) -> None:
    """Train what is missing, then write and show the table or figure into ``OUT/PRESET``.

    Raises:
        UserError: an unknown name, missing data, or a run with other settings in the way.
    """
    target = find_target(name, datasets, methods)
    folder = Path(out) / base.preset
    outcomes = train_all(target, base, seeds, folder, evaluation, bool(datasets), console)
    if target.draw:
        written = _draw(target, outcomes, base, folder / name, evaluation.sampler_steps)
    else:
        rows = _rows(target, outcomes, base, folder)
        command = shlex.join(["nesy-gedi", *sys.argv[1:]])
        written = write_table(folder / name, target.title, target.measures, rows, command)
        console.print(markdown(target.title, target.measures, rows, []), soft_wrap=True, markup=False)
    for path in written:
        console.print(f"written: {path}", soft_wrap=True, highlight=False, markup=False)


def _optima(target: Target, base: Request, outcome: Outcome, folder: Path) -> Mapping[str, float | None]:
    """Optima of the terms of a run's method on its data."""
    request = request_for(target, base, outcome.dataset, outcome.method, outcome.seed, folder)
    return prepare(request).learner.optima()


def _rows(target: Target, outcomes: Sequence[Outcome], base: Request, folder: Path) -> list[Row]:
    _, published = specification()
    rows = []
    for dataset in target.datasets:
        for method in target.methods:
            mine = [o for o in outcomes if (o.dataset, o.method) == (dataset, method)]
            done = [o for o in mine if o.folder is not None]
            optima = _optima(target, base, done[0], folder) if done else {}
            figures = [figures_of(o.folder, optima) for o in done if o.folder is not None]
            values = {
                measure: [found[measure] for found in figures if measure in found]
                for measure in target.measures
            }
            remark = "" if done else next((o.reason for o in mine), "")
            paper = published.get(dataset, {}).get(method, {})
            rows.append(Row(dataset, method, tuple(o.seed for o in done), values, paper, remark))
    return rows


def _draw(target: Target, outcomes: Sequence[Outcome], base: Request, path: Path, steps: int) -> list[Path]:
    done = [o for o in outcomes if o.folder is not None]
    first = min((o.seed for o in done), default=0)
    chosen = done if target.draw == "terms" else [o for o in done if o.seed == first]
    runs = [(f"{o.dataset}, {o.method}, seed {o.seed}", o.folder) for o in chosen if o.folder is not None]
    if not runs:
        return []
    if target.draw == "planes":
        data = {o.dataset: load_data_set(o.dataset, base.data_dir) for o in chosen}
        return paper_figures.planes(path, runs, data)
    if target.draw == "samples":
        return paper_figures.samples(path, runs, steps)
    optima = _optima(target, base, chosen[0], path.parent)
    return paper_figures.terms(path, runs, optima)
