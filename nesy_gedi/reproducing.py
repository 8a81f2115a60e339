"""What ``nesy-gedi reproduce`` trains: methods x data sets x seeds of a target, checked beforehand."""

import hashlib
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from nesy_gedi import evaluating
from nesy_gedi.data.download import NotFetchedError
from nesy_gedi.data.images import ImageSet
from nesy_gedi.data.sets import DATA_SETS, load_data_set
from nesy_gedi.errors import UserError, unknown
from nesy_gedi.evaluating import EvaluationOptions
from nesy_gedi.evaluation import generation
from nesy_gedi.evaluation.ood import fit_to
from nesy_gedi.gedi.checkpoint import load_network
from nesy_gedi.gedi.config import TrainConfig
from nesy_gedi.gedi.methods import METHODS
from nesy_gedi.gedi.networks import GEDINetwork
from nesy_gedi.logic.examples import TooFewImagesError
from nesy_gedi.reporting.paper_figures import check_drawable
from nesy_gedi.request import Request, prepare
from nesy_gedi.resources import resource
from nesy_gedi.stored_run import check_folder

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
        remark: the same in the table.
        vectors: the data are vectors, not images.
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
    remark: str = ""
    vectors: bool = False
    optima: Mapping[str, float | None] = field(default_factory=dict)
    published: Mapping[str, float] = field(default_factory=dict)

    @property
    def units(self) -> int | None:
        """Width of the projection that terms are taken on; None if it is that of the clusters."""
        assert self.config is not None
        return self.config.network.projection or None

    def expected(self) -> dict[str, Any]:
        """What a run must have been trained with to be one of this row's."""
        assert self.config is not None
        return {
            "config": asdict(self.config),
            "sha256": self.sha256,
            "examples": self.examples,
            "program": self.program,
        }


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
    return replace(
        target,
        datasets=tuple(dict.fromkeys(datasets)) or target.datasets,
        methods=tuple(dict.fromkeys(methods)) or target.methods,
    )


def plan(
    target: Target, base: Request, seeds: int, out: Path, chosen: bool, options: EvaluationOptions
) -> list[Row]:
    """Check everything before anything is trained.

    A row that cannot be trained stops no other, unless the user named its data set or no row is left.

    Args:
        target: what to train.
        base: what all trainings have in common.
        seeds: number of seeds, from ``base.first_seed`` on.
        out: parent of the run folders.
        chosen: the user named the data sets.
        options: what the measures need.

    Raises:
        UserError: a name or setting is wrong, data is missing that was asked for or does not serve the
            target, or a damaged run or one with other settings is in the way.
    """
    if "generation" in target.evaluate:
        _check_features(options)
    others = _others(target, options)
    counts = (base.examples,) if base.examples or not target.examples else target.examples
    rows, missing, wrong = [], dict[str, Row](), list[UserError]()
    for dataset in target.datasets:
        for method in target.methods:
            for examples in counts:
                row = _row(target, replace(base, examples=examples), dataset, method, seeds, out)
                if dataset in missing:
                    rows.append(replace(row, missing=missing[dataset].missing, remark="not there"))
                    continue
                try:
                    row = _prepared(row, target, options, others)
                except UserError as error:
                    # too few images for the target's own numbers of examples are no mistake of the user's
                    if base.examples if isinstance(error, TooFewImagesError) else chosen:
                        raise
                    row = replace(row, missing=str(error), remark=str(error))
                    if isinstance(error, NotFetchedError):
                        row = missing[dataset] = replace(row, remark="not there")
                    elif not isinstance(error, TooFewImagesError):
                        wrong.append(error)
                rows.append(row)
    if wrong and all(row.missing for row in rows):
        raise wrong[0]
    for row in rows:
        for request in () if row.missing else row.requests:
            check_folder(Path(str(request.out)), row.expected(), target.draw == "terms")
    return rows


def stem(dataset: str) -> str:
    """What files and folders of a data set are called: its name; for a path, with a digest of it."""
    if dataset in DATA_SETS:
        return dataset
    path = Path(dataset).expanduser().resolve()
    return f"{path.stem}-{hashlib.sha256(str(path).encode()).hexdigest()[:6]}"


def _row(target: Target, base: Request, dataset: str, method: str, seeds: int, out: Path) -> Row:
    name, label, program = stem(dataset), dataset, None
    if target.program:
        program = str(resource("programs", target.program))
        of = "" if dataset == Request.dataset else f"-{name}"
        name, label = f"{Path(program).stem}-{base.examples}{of}", f"{dataset}, {base.examples:,} examples"
    requests = tuple(
        replace(
            base,
            program=program,
            dataset=dataset,
            variant=method,
            seeds=1,
            first_seed=seed,
            out=str(out / f"{name}-{method}-seed{seed}"),
        )
        for seed in range(base.first_seed, base.first_seed + seeds)
    )
    return Row(dataset, method, label, requests)


def _prepared(row: Row, target: Target, options: EvaluationOptions, others: Mapping[str, Tensor]) -> Row:
    """With all that a finished run is compared by.

    Raises:
        UserError: it cannot be trained, measured or drawn.
    """
    prepared = prepare(row.requests[0])
    learner, program = prepared.learner, prepared.learner.program
    check_drawable(target.name, target.draw, learner.images)
    _check_measures(learner.images, learner.config, target, options, others)
    return replace(
        row,
        config=learner.config,
        sha256=learner.images.sha256,
        program=program.source.text if program is not None else None,
        examples=prepared.examples,
        vectors=learner.images.train_images.is_floating_point(),
        optima=learner.optima(),
        published=prepared.preset.published.get(str(prepared.examples), {}),
    )


def _check_measures(
    images: ImageSet,
    config: TrainConfig,
    target: Target,
    options: EvaluationOptions,
    others: Mapping[str, Tensor],
) -> None:
    """Refuse data that the target's measures cannot be taken on."""
    for name in target.evaluate:
        if lack := evaluating.missing_for(images, name, options):
            raise UserError(f"{target.name} cannot measure {name}: it needs {lack}; choose other --datasets")
    sample = images.train_images[:1]
    # Inception itself has been loaded once already
    if "generation" in target.evaluate and (
        options.features != generation.INCEPTION or sample.is_floating_point()
    ):
        network = GEDINetwork(config.network)
        generation.feature_space(options.features, network, sample, options.inception_weights)
    for other in others.values():
        fit_to(other, sample.shape[1:])


def _others(target: Target, options: EvaluationOptions) -> dict[str, Tensor]:
    """An image of each other data set that is there, by its name."""
    found = {}
    for name in target.ood:
        with suppress(NotFetchedError):
            found[name] = load_data_set(name, options.data_dir).test_images[:1].clone()
    return found


def _check_features(options: EvaluationOptions) -> None:
    """What samples are compared by must be there, whatever data sets are."""
    if options.features == generation.INCEPTION:
        generation.load_inception(options.inception_weights)
    elif options.features != generation.CLASSIFIER:
        load_network(options.features)
