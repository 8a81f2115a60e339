"""``nesy-gedi reproduce``: methods x data sets x seeds of one of the paper's tables or figures, resumable."""

import json
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from nesy_gedi.data.download import NotFetchedError
from nesy_gedi.errors import UserError, unknown
from nesy_gedi.evaluating import EvaluationOptions, evaluate
from nesy_gedi.evaluation.report import read_results
from nesy_gedi.experiment import Experiment
from nesy_gedi.gedi.config import TrainConfig
from nesy_gedi.gedi.methods import METHODS
from nesy_gedi.gedi.resuming import PREVIOUS, STATE
from nesy_gedi.logic.examples import TooFewImagesError
from nesy_gedi.reporting.run import CONFIG
from nesy_gedi.request import Request, prepare
from nesy_gedi.resources import resource
from nesy_gedi.stored_run import is_finished

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
        program: a shipped program that it trains on, with so many ``examples``.
        median: rows are medians over seeds, not means.
        kmeans: with a row for k-means on raw pixels.
        draw: kind of a figure: ``planes``, ``terms``, ``chains`` or ``samples``; empty for tables.
    """

    name: str
    title: str
    datasets: tuple[str, ...]
    methods: tuple[str, ...]
    measures: tuple[str, ...] = ()
    evaluate: tuple[str, ...] = ()
    ood: tuple[str, ...] = ()
    program: str = ""
    examples: tuple[int, ...] = ()
    median: bool = False
    kmeans: bool = False
    draw: str = ""


@dataclass(frozen=True)
class Row:
    """The trainings of one row, as they would be done now.

    Attributes:
        label: data set, and number of examples where there are several.
        requests: one for each seed, with its folder.
        config: settings, as they are written into a run.
        program: its text; None without one.
        examples: how many; None for all images.
        missing: why nothing can be trained; empty as a rule.
        optima: of the terms, nats.
        published: the paper's figures that belong to the number of examples, by measure.
    """

    dataset: str
    method: str
    label: str
    requests: tuple[Request, ...]
    config: TrainConfig | None = None
    sha256: str = ""
    program: str | None = None
    examples: int | None = None
    missing: str = ""
    optima: Mapping[str, float | None] = field(default_factory=dict)
    published: Mapping[str, float] = field(default_factory=dict)


def specification() -> tuple[dict[str, Target], Mapping[str, Any]]:
    """All targets by name, and the paper's figures by data set, method and measure."""
    tables = tomllib.loads(resource("experiments", "reproduce.toml").read_text(encoding="utf-8"))
    published = tables.pop("published")
    targets = {}
    for name, table in tables.items():
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
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


def plan(target: Target, base: Request, seeds: int, out: Path, chosen: bool) -> list[Row]:
    """Check everything before anything is trained.

    Args:
        target: what to train.
        base: what all trainings have in common.
        seeds: number of seeds, from ``base.first_seed`` on.
        out: parent of the run folders.
        chosen: the user named the data sets, so that one that is not there is an error.

    Raises:
        UserError: a name or setting is wrong, or data is missing that was asked for.
    """
    counts = (base.examples,) if base.examples or not target.examples else target.examples
    rows, missing = [], dict[str, str]()
    for dataset in target.datasets:
        for method in target.methods:
            for examples in counts:
                request = replace(base, examples=examples)
                row = _row(target, request, dataset, method, seeds, out)
                if dataset not in missing:
                    try:
                        row = _prepared(row)
                    except NotFetchedError as error:
                        if chosen:
                            raise
                        missing[dataset] = str(error)
                    except TooFewImagesError as error:
                        if base.examples:
                            raise
                        row = replace(row, missing=str(error))
                rows.append(replace(row, missing=missing[dataset]) if dataset in missing else row)
    return rows


def _row(target: Target, base: Request, dataset: str, method: str, seeds: int, out: Path) -> Row:
    stem, label = Path(dataset).stem, dataset
    program = str(resource("programs", target.program)) if target.program else None
    if program is not None:
        stem, label = f"{Path(program).stem}-{base.examples}", f"{dataset}, {base.examples:,} examples"
    requests = tuple(
        replace(
            base,
            program=program,
            dataset=dataset,
            variant=method,
            seeds=1,
            first_seed=seed,
            out=str(out / f"{stem}-{method}-seed{seed}"),
        )
        for seed in range(base.first_seed, base.first_seed + seeds)
    )
    return Row(dataset, method, label, requests)


def _prepared(row: Row) -> Row:
    """With all that a finished run is compared by."""
    prepared = prepare(row.requests[0])
    learner, program = prepared.learner, prepared.learner.program
    return replace(
        row,
        config=learner.config,
        sha256=learner.images.sha256,
        program=program.source.text if program is not None else None,
        examples=prepared.examples,
        optima=learner.optima(),
        published=prepared.preset.published.get(str(prepared.examples), {}),
    )


def train(row: Row, request: Request, console: Console) -> Path:
    """The folder of a finished run: the one that is there, or a new one.

    Raises:
        UserError: a finished run with other settings is in the way, or the training failed
            (:class:`TrainingFailedError`).
    """
    assert request.out is not None
    folder = Path(request.out)
    if is_finished(folder):
        _check_same(row, folder)
        say(console, f"already there: {folder}")
        return folder
    if any((folder / name).is_file() for name in (STATE, PREVIOUS)):
        _check_same(row, folder)
        experiment = Experiment.resume(folder, console)
    else:
        if (folder / CONFIG).is_file():  # interrupted before anything was saved
            shutil.rmtree(folder)
        experiment = Experiment(request, console)
    try:
        experiment.run()
    except UserError as error:
        raise TrainingFailedError(str(error)) from error
    return folder


class TrainingFailedError(UserError):
    """A training that was begun did not come to its end."""


def _check_same(row: Row, folder: Path) -> None:
    """Refuse a finished run that is not what would be trained now."""
    assert row.config is not None
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        theirs = found["config"], found["data"]["sha256"], found["request"]["examples"], found["program"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{folder / CONFIG} is damaged: remove the folder to train anew") from None
    ours = json.loads(json.dumps(asdict(row.config))), row.sha256, row.examples, row.program
    if theirs != ours:
        raise UserError(f"{folder} was trained with other settings or data: choose another --out")


def measure(target: Target, folder: Path, options: EvaluationOptions) -> None:
    """Take the target's measures, unless they are in the run's folder, made as they are asked for now.

    Other sets for ``ood`` that are not there are left out.
    """
    done = read_results(folder)
    for name in target.evaluate:
        if name == "ood":
            for other in (other for other in target.ood if other not in done.get(name, {})):
                with suppress(NotFetchedError):
                    evaluate(folder, replace(options, measures=(name,), ood=(other,)))
        elif name == "generation":
            made = done.get(name, {}).get(options.features, {}).get("settings", {})
            if (made.get("samples"), made.get("sampler_steps")) != (options.samples, options.sampler_steps):
                evaluate(folder, replace(options, measures=(name,), ood=()))
        elif name not in done:
            evaluate(folder, replace(options, measures=(name,), ood=()))


def say(console: Console, text: str) -> None:
    """One line, as it is."""
    console.print(text, soft_wrap=True, highlight=False, markup=False)
