"""A whole target of ``nesy-gedi reproduce``: its trainings, then its table or figure."""

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from nesy_gedi.data.download import NotFetchedError
from nesy_gedi.data.sets import load_data_set
from nesy_gedi.drawing import default_steps
from nesy_gedi.errors import UserError
from nesy_gedi.evaluating import EvaluationOptions, evaluate
from nesy_gedi.evaluation.failures import verdicts
from nesy_gedi.evaluation.report import RESULTS, read_results
from nesy_gedi.jobs import Job
from nesy_gedi.launching import HERE, Launching, launch
from nesy_gedi.reporting import paper_figures
from nesy_gedi.reporting.paper_table import (
    PaperTable,
    TableRow,
    generation_note,
    kmeans_row,
    legends,
    measured_figures,
)
from nesy_gedi.reproducing import Row, Target, find_target, plan, specification, stem
from nesy_gedi.request import Request
from nesy_gedi.results import excess
from nesy_gedi.run_lock import BeingTrainedError, training
from nesy_gedi.stored_run import finished_seed

_ELSEWHERE = "being trained by another process"

Launched = Mapping[Path, UserError] | None
"""The errors of jobs that were launched, by folder; None if each is to be trained when its turn comes."""


@dataclass
class Outcome:
    """What became of a row.

    Attributes:
        folders: of finished runs, by seed.
        figures: of each of them, by measure.
        notes: what figures were made with.
        remarks: what is missing, and why.
    """

    row: Row
    folders: dict[int, Path] = field(default_factory=dict)
    figures: list[dict[str, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


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
    options: EvaluationOptions,
    console: Console,
    launching: Launching = HERE,
) -> list[Path]:
    """Train what is missing, then write and show the table or figure into ``OUT/PRESET``.

    What fails after the first training has begun stops nothing else: its row says so. In this process, a run
    is measured as soon as it is trained; otherwise all are trained first.

    Returns:
        The files that were written.

    Raises:
        UserError: see :func:`~nesy_gedi.reproducing.plan` and :func:`~nesy_gedi.launching.launch`.
    """
    target = find_target(name, datasets, methods)
    folder = Path(out) / base.preset
    rows = plan(target, base, seeds, folder, bool(datasets), options)
    for line in dict.fromkeys(f"left out: {row.missing}" for row in rows if row.missing):
        say(console, line)
    launched: Launched = None
    if launching.name != "here":
        launched = launch(_jobs(rows), launching, console, "the same command goes on where it stopped")
    outcomes = [_train_row(target, row, options, console, launched) for row in rows]
    if target.draw:
        written = _draw(target, outcomes, base, folder / name, options.sampler_steps)
    else:
        table = _table(target, outcomes, base, folder)
        say(console, table.markdown())
        written = table.write(folder / name, shlex.join(["nesy-gedi", *sys.argv[1:]]))
    for path in written:
        say(console, f"written: {path}")
    return written


def _train_row(
    target: Target, row: Row, options: EvaluationOptions, console: Console, launched: Launched
) -> Outcome:
    outcome = Outcome(row, remarks=[row.remark] if row.missing else [])
    for request in () if row.missing else row.requests:
        said, seed = len(outcome.remarks), request.first_seed
        try:
            folder = _finished(row, request, launched, console)
            outcome.figures.append(_figures(folder, row))
            outcome.folders[seed] = folder
            _measure(target, outcome, folder, options)
        except BeingTrainedError:
            outcome.remarks.append(f"seed {seed}: {_ELSEWHERE}")
        except UserError as error:
            what = "not measured" if seed in outcome.folders else "failed"
            outcome.remarks.append(f"seed {seed} {what}: {error}")
        for remark in outcome.remarks[said:]:
            say(console, f"{row.label}, {row.method}, {remark}")
    return outcome


def _finished(row: Row, request: Request, launched: Launched, console: Console) -> Path:
    """The folder of a finished run: the one that is there, or a new one.

    Raises:
        BeingTrainedError: another process trains it.
        UserError: a run with other settings is in the way, or the training failed.
    """
    job = _job(row, request)
    if launched is None:
        if not job.run(console):
            say(console, f"already there: {job.folder}")
    elif job.folder in launched:
        raise launched[job.folder]
    return job.folder


def _jobs(rows: Sequence[Row]) -> Iterator[Job]:
    for row in rows:
        for request in () if row.missing else row.requests:
            yield _job(row, request)


def _job(row: Row, request: Request) -> Job:
    return Job(request, row.expected(), tuple(sys.argv[1:]))


def _measure(target: Target, outcome: Outcome, folder: Path, options: EvaluationOptions) -> None:
    """Take the target's measures, unless they are there already, and add what they come to."""
    try:
        if _pending(target, outcome.row, folder, options):
            with training(folder):
                for asked in _pending(target, outcome.row, folder, options):
                    with suppress(NotFetchedError):  # another set for ``ood`` is left out
                        evaluate(folder, asked)
        measured = read_results(folder)
        outcome.figures[-1] |= measured_figures(measured, options.features)
        outcome.notes.append(generation_note(measured, options.features))
    except UserError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f"{folder / RESULTS} is damaged, or of another version: remove it to measure anew"
        ) from error


def _pending(target: Target, row: Row, folder: Path, options: EvaluationOptions) -> list[EvaluationOptions]:
    """What is still to be measured: all that is not in the run's folder, made as it is asked for now."""
    done, found = read_results(folder), []
    for name in target.evaluate:
        asked = replace(options, measures=(name,), ood=())
        if name == "ood":
            others = (o for o in target.ood if "gradient" not in done.get(name, {}).get(o, {}))
            found += [replace(asked, ood=(other,)) for other in others]
        elif name == "generation":
            made = done.get(name, {}).get(options.features, {}).get("settings", {})
            steps = options.sampler_steps or default_steps(not row.vectors)
            if (made.get("samples"), made.get("sampler_steps")) != (options.samples, steps):
                found.append(asked)
        elif name not in done:
            found.append(asked)
    return found


def _table(target: Target, outcomes: Sequence[Outcome], base: Request, folder: Path) -> PaperTable:
    _, published = specification()
    rows = []
    for outcome in outcomes:
        row, figures = outcome.row, outcome.figures
        values = {name: [found[name] for found in figures if name in found] for name in target.measures}
        paper = row.published or published.get(row.dataset, {}).get(row.method, {})
        remark = "; ".join(outcome.remarks)
        rows.append(TableRow(row.label, row.method, tuple(outcome.folders), values, paper, remark))
    if target.kmeans:
        present = {o.row.dataset: o.row for o in outcomes if o.folders}
        rows += [_kmeans_row(row, base, folder, target.measures) for row in present.values()]
    made = dict.fromkeys(note for outcome in outcomes for note in outcome.notes if note)
    return PaperTable(target.title, target.measures, rows, target.median, [*legends(target.measures), *made])


def _figures(folder: Path, row: Row) -> dict[str, float]:
    """All figures of a finished run's own result by measure; what does not apply to it is not there.

    ``representational``, ``cluster`` and ``label`` are 1 or 0, whether the terms rule this failure out;
    ``at_optimum`` whether they ended where ``restart_above`` wants them, for recipes that have it.
    """
    assert row.config is not None
    seed = finished_seed(folder)
    found = {key: float(value) for key, value in seed.items() if isinstance(value, (int, float))}
    for verdict in verdicts(seed["terms"], row.optima, row.config.network.classes, row.units):
        if verdict.ruled_out is not None:
            found[verdict.mode.split()[0]] = float(verdict.ruled_out)
    if row.config.restart_above:
        found["at_optimum"] = float(excess(seed["terms"], row.optima, row.config.restart_above) == 0)
    return found


def _kmeans_row(row: Row, base: Request, folder: Path, measures: Sequence[str]) -> TableRow:
    images = load_data_set(row.dataset, base.data_dir)
    return kmeans_row(images, folder / f"{stem(row.dataset)}-kmeans.json", row.label, measures)


def _draw(
    target: Target, outcomes: Sequence[Outcome], base: Request, path: Path, steps: int | None
) -> list[Path]:
    runs, names = [], dict[str, None]()
    for row, folders in ((outcome.row, outcome.folders) for outcome in outcomes if outcome.folders):
        assert row.config is not None
        names[row.dataset] = None
        for seed, folder in folders.items():
            if target.draw == "terms" or seed == base.first_seed:
                title, classes = f"{row.label}, {row.method}, seed {seed}", row.config.network.classes
                runs.append(paper_figures.Panel(title, folder, row.dataset, row.optima, classes, row.units))
    if not runs:
        return []
    if target.draw == "terms":
        return paper_figures.terms(path, runs)
    if target.draw == "samples":
        return paper_figures.samples(path, runs, steps)
    data = {name: load_data_set(name, base.data_dir) for name in names}
    if target.draw == "chains":
        return paper_figures.chains(path, runs, data, steps)
    return paper_figures.planes(path, runs, data)


def say(console: Console, text: str) -> None:
    """One line, as it is."""
    console.print(text, soft_wrap=True, highlight=False, markup=False)
