"""A whole target of ``nesy-gedi reproduce``: its trainings, then its table or figure."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from nesy_gedi.data.images import ImageSet
from nesy_gedi.data.sets import load_data_set
from nesy_gedi.evaluating import EvaluationOptions
from nesy_gedi.evaluation import generation
from nesy_gedi.evaluation.clustering import kmeans_pixels
from nesy_gedi.evaluation.failures import verdicts
from nesy_gedi.evaluation.report import read_results
from nesy_gedi.gedi.checkpoint import load_network
from nesy_gedi.reporting import paper_figures
from nesy_gedi.reporting.paper_table import PaperTable, TableRow
from nesy_gedi.reporting.run import RESULT, write_whole
from nesy_gedi.reproducing import (
    Row,
    Target,
    TrainingFailedError,
    find_target,
    measure,
    plan,
    say,
    specification,
    train,
)
from nesy_gedi.request import Request
from nesy_gedi.results import excess


@dataclass(frozen=True)
class Outcome:
    """What became of a row: folders of finished runs by seed, and why others are missing."""

    row: Row
    folders: Mapping[int, Path]
    remark: str


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
) -> None:
    """Train what is missing, then write and show the table or figure into ``OUT/PRESET``.

    A training that fails does not stop the others: its row says so.

    Raises:
        UserError: a name or setting is wrong, data is missing, or a run with other settings is in the way.
    """
    target = find_target(name, datasets, methods)
    folder = Path(out) / base.preset
    if "generation" in target.evaluate:
        _check_features(options)
    rows = plan(target, base, seeds, folder, bool(datasets))
    for line in dict.fromkeys(f"left out: {row.missing}" for row in rows if row.missing):
        say(console, line)
    outcomes = [_train_row(target, row, options, console) for row in rows]
    if target.draw:
        written = _draw(target, outcomes, base, folder / name, options.sampler_steps)
    else:
        table = _table(target, outcomes, base, folder, options)
        say(console, table.markdown())
        written = table.write(folder / name, shlex.join(["nesy-gedi", *sys.argv[1:]]))
    for path in written:
        say(console, f"written: {path}")


def _check_features(options: EvaluationOptions) -> None:
    """What samples are compared by must be there before hours of training, not after."""
    if options.features == generation.INCEPTION:
        generation.load_inception(options.inception_weights)
    elif options.features != generation.CLASSIFIER:
        load_network(options.features)


def _train_row(target: Target, row: Row, options: EvaluationOptions, console: Console) -> Outcome:
    folders, failed = dict[int, Path](), list[str]()
    for request in () if row.missing else row.requests:
        try:
            folder = train(row, request, console)
        except TrainingFailedError as error:
            failed.append(f"seed {request.first_seed} failed: {error}")
            say(console, f"{row.label}, {row.method}, {failed[-1]}")
            continue
        measure(target, folder, options)
        folders[request.first_seed] = folder
    return Outcome(row, folders, "not there" if row.missing else "; ".join(failed))


def _table(
    target: Target, outcomes: Sequence[Outcome], base: Request, folder: Path, options: EvaluationOptions
) -> PaperTable:
    _, published = specification()
    rows, notes = [], dict[str, None]()
    for outcome in outcomes:
        row = outcome.row
        figures = [_figures(path, row, options.features) for path in outcome.folders.values()]
        values = {name: [found[name] for found in figures if name in found] for name in target.measures}
        paper = row.published or published.get(row.dataset, {}).get(row.method, {})
        rows.append(TableRow(row.label, row.method, tuple(outcome.folders), values, paper, outcome.remark))
        notes |= dict.fromkeys(_generation_note(path, options.features) for path in outcome.folders.values())
    if target.kmeans:
        present = {o.row.dataset: o.row for o in outcomes if o.folders}
        rows += [_kmeans_row(row, base, folder, target.measures) for row in present.values()]
    return PaperTable(target.title, target.measures, rows, target.median, [note for note in notes if note])


def _figures(folder: Path, row: Row, features: str) -> dict[str, float]:
    """All figures of a finished run by measure; what does not apply to it is not there.

    ``representational``, ``cluster`` and ``label`` are 1 or 0, whether the terms rule this failure out;
    ``at_optimum`` whether they ended where ``restart_above`` wants them, for recipes that have it.
    """
    assert row.config is not None
    network = row.config.network
    (seed,) = json.loads((folder / RESULT).read_text(encoding="utf-8"))["seeds"]
    found = {key: float(value) for key, value in seed.items() if isinstance(value, (int, float))}
    for verdict in verdicts(seed["terms"], row.optima, network.classes, network.projection or None):
        if verdict.ruled_out is not None:
            found[verdict.mode.split()[0]] = float(verdict.ruled_out)
    if row.config.restart_above:
        found["at_optimum"] = float(excess(seed["terms"], row.optima, row.config.restart_above) == 0)
    measured = read_results(folder)
    found |= {f"auroc_{other}": scores["logpx"]["auroc"] for other, scores in measured.get("ood", {}).items()}
    found |= {name: measured[name]["accuracy"] for name in ("probe", "knn") if name in measured}
    if "kmeans" in measured:
        found["kmeans_nmi"] = measured["kmeans"]["nmi"]
    distances = measured.get("generation", {}).get(features, {})
    for name, value in distances.items():
        if name.startswith(("FID", "FD")):
            found["frechet"] = value
        elif name.startswith(("KID", "KD")) and not name.endswith("deviation"):
            found["kernel"] = value
    return found


def _generation_note(folder: Path, features: str) -> str:
    """What a distance was made with; empty where none was measured."""
    result = read_results(folder).get("generation", {}).get(features)
    if result is None:
        return ""
    made = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in result["settings"].items())
    frechet, kernel, _ = (name for name in result if name not in ("settings", "remarks"))
    return " ".join([f"frechet is {frechet}, kernel is {kernel}: {made}.", *result["remarks"]])


def _kmeans_row(row: Row, base: Request, folder: Path, measures: Sequence[str]) -> TableRow:
    """K-means on raw pixels; kept beside the runs, because it takes minutes."""
    images = load_data_set(row.dataset, base.data_dir)
    path = folder / f"{Path(row.dataset).stem}-kmeans.json"
    wanted = {"sha256": images.sha256, "clusters": images.classes}
    content: dict[str, Any] = {}
    if path.is_file():
        content = json.loads(path.read_text(encoding="utf-8"))
    if {key: content.get(key) for key in wanted} != wanted:
        content = {**wanted, "score": asdict(kmeans_pixels(images, images.classes))}
        write_whole(path, json.dumps(content, indent=1) + "\n")
    score = {name: value for name, value in content["score"].items() if name != "accuracy"}
    values = {name: [score[name]] for name in measures if name in score}
    return TableRow(row.label, "k-means on pixels", (0,), values, {})


def _draw(target: Target, outcomes: Sequence[Outcome], base: Request, path: Path, steps: int) -> list[Path]:
    runs = [
        paper_figures.Panel(f"{o.row.label}, {o.row.method}, seed {seed}", folder, o.row.dataset)
        for o in outcomes
        for seed, folder in o.folders.items()
        if target.draw == "terms" or seed == base.first_seed
    ]
    if not runs:
        return []
    if target.draw == "samples":
        return paper_figures.samples(path, runs, steps)
    row = next(o.row for o in outcomes if o.folders)
    if target.draw == "terms":
        assert row.config is not None
        network = row.config.network
        return paper_figures.terms(path, runs, row.optima, network.classes, network.projection or None)
    data: dict[str, ImageSet] = {o.row.dataset: load_data_set(o.row.dataset, base.data_dir) for o in outcomes}
    if target.draw == "chains":
        return paper_figures.chains(path, runs, data, steps)
    return paper_figures.planes(path, runs, data)
