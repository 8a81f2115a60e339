"""``nesy-gedi reproduce``: methods x data sets x seeds of one of the paper's tables or figures, resumable."""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from nesy_gedi.data.download import NotFetchedError
from nesy_gedi.errors import UserError, unknown
from nesy_gedi.evaluating import EvaluationOptions, evaluate
from nesy_gedi.evaluation.report import read_results
from nesy_gedi.experiment import Experiment
from nesy_gedi.gedi.methods import METHODS
from nesy_gedi.reporting.run import CONFIG, RESULT
from nesy_gedi.request import Request, prepare
from nesy_gedi.resources import resource

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Target:
    """A table or figure of ``experiments/reproduce.toml``.

    Attributes:
        measures: columns of a table, by name; empty for figures.
        evaluate: measures of ``nesy-gedi evaluate`` that it needs.
        ood: other data sets for the measure ``ood``.
        program: a shipped program that it trains on.
        draw: kind of a figure: ``planes``, ``terms`` or ``samples``; empty for tables.
    """

    name: str
    title: str
    datasets: tuple[str, ...]
    methods: tuple[str, ...]
    measures: tuple[str, ...] = ()
    evaluate: tuple[str, ...] = ()
    ood: tuple[str, ...] = ()
    program: str = ""
    draw: str = ""


@dataclass(frozen=True)
class Outcome:
    """One training: its folder, or why there is none."""

    dataset: str
    method: str
    seed: int
    folder: Path | None
    reason: str = ""


def specification() -> tuple[dict[str, Target], Mapping[str, Any]]:
    """All targets by name, and the paper's figures by data set, method and measure."""
    tables = tomllib.loads(resource("experiments", "reproduce.toml").read_text(encoding="utf-8"))
    published = tables.pop("published")
    lists = ("datasets", "methods", "measures", "evaluate", "ood")
    targets = {}
    for name, table in tables.items():
        fields: dict[str, Any] = {k: tuple(v) if k in lists else v for k, v in table.items()}
        targets[name] = Target(name, **fields)
    return targets, published


def find_target(name: str, datasets: tuple[str, ...], methods: tuple[str, ...]) -> Target:
    """A target by name, narrowed to some data sets and methods where they are given.

    Raises:
        UserError: there is no such target or method.
    """
    targets, _ = specification()
    if name not in targets:
        raise unknown("target", name, targets)
    for method in methods:
        if method not in METHODS:
            raise unknown("method", method, METHODS)
    target = targets[name]
    return replace(target, datasets=datasets or target.datasets, methods=methods or target.methods)


def train_all(
    target: Target,
    base: Request,
    seeds: int,
    out: Path,
    evaluation: EvaluationOptions,
    chosen: bool,
    console: Console,
) -> list[Outcome]:
    """Train and measure whatever is not there yet.

    Args:
        target: what to train.
        base: what all trainings have in common.
        seeds: number of seeds, from ``base.first_seed`` on.
        out: parent of the run folders.
        evaluation: how to measure.
        chosen: the user named the data sets, so that one that is not there is an error.
        console: where to say what happens.

    Raises:
        UserError: data is missing that was asked for, or a run with other settings is in the way.
    """
    outcomes = []
    for dataset in target.datasets:
        for seed in range(base.first_seed, base.first_seed + seeds):
            for method in target.methods:
                request = request_for(target, base, dataset, method, seed, out)
                try:
                    folder = _train(request, console)
                    _measure(target, folder, evaluation)
                    outcomes.append(Outcome(dataset, method, seed, folder))
                except NotFetchedError as error:
                    if chosen:
                        raise
                    _say(console, f"left out: {error}")
                    outcomes.append(Outcome(dataset, method, seed, None, "not there"))
                except ExistingRunError:
                    raise
                except UserError as error:
                    _say(console, f"failed: {dataset}, {method}, seed {seed}: {error}")
                    outcomes.append(Outcome(dataset, method, seed, None, str(error)))
    return outcomes


class ExistingRunError(UserError):
    """A finished run with other settings is where a new one should go."""


def request_for(target: Target, base: Request, dataset: str, method: str, seed: int, out: Path) -> Request:
    """The request of one training, with its folder in ``out``."""
    program = str(resource("programs", target.program)) if target.program else None
    name = f"{Path(dataset).stem}-{method}-seed{seed}" + (f"-{Path(program).stem}" if program else "")
    return replace(
        base, program=program, dataset=dataset, variant=method, seeds=1, first_seed=seed, out=str(out / name)
    )


def _train(request: Request, console: Console) -> Path:
    """The folder of a finished run: the one that is there, or a new one."""
    assert request.out is not None
    folder = Path(request.out)
    if (folder / RESULT).is_file():
        _check_same(request, folder)
        _say(console, f"already there: {folder}")
        return folder
    if (folder / CONFIG).is_file():  # interrupted: nothing in it can be used
        shutil.rmtree(folder)
    Experiment(request, console).run()
    return folder


def _check_same(request: Request, folder: Path) -> None:
    """Refuse a finished run that is not what would be trained now."""
    learner = prepare(request).learner
    found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    wanted = json.loads(json.dumps(asdict(learner.config)))
    if found.get("config") != wanted or found["data"]["sha256"] != learner.images.sha256:
        raise ExistingRunError(f"{folder} was trained with other settings or data: choose another --out")


def _measure(target: Target, folder: Path, evaluation: EvaluationOptions) -> None:
    """Take the target's measures, unless they are in the run's folder."""
    done = read_results(folder)
    for name in target.evaluate:
        if name == "ood":
            for other in target.ood:
                if other not in done.get("ood", {}):
                    _compare(folder, other, evaluation)
        elif name not in done:
            evaluate(folder, replace(evaluation, measures=(name,), ood=()))


def _compare(folder: Path, other: str, evaluation: EvaluationOptions) -> None:
    """Measure ``ood`` against another set; one that is not there leaves its cell empty."""
    try:
        evaluate(folder, replace(evaluation, measures=("ood",), ood=(other,)))
    except NotFetchedError:
        return


def _say(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, highlight=False, markup=False)
