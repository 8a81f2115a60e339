"""What the user asked for, checked whole before anything is written."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from nesy_gedi.data.images import ImageSet
from nesy_gedi.data.mnist import resolve_data_dir
from nesy_gedi.data.sets import DATA_SETS, load_data_set
from nesy_gedi.errors import UserError, unknown
from nesy_gedi.examples_file import read_examples
from nesy_gedi.gedi.config import merge, parse_assignments
from nesy_gedi.gedi.networks import GEDINetwork
from nesy_gedi.gedi.precision import choose_device, choose_precision
from nesy_gedi.gedi.stability import STABILISERS
from nesy_gedi.learning import Learner
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.declarations import Program
from nesy_gedi.logic.examples import TooFewImagesError, parse_distribution
from nesy_gedi.logic.limits import Limits
from nesy_gedi.logic.program import read_program
from nesy_gedi.presets import Preset, load_preset
from nesy_gedi.reporting.sinks import check_tensorboard
from nesy_gedi.results import Examples

EXAMPLES = 1000  # of a program, by default; without one, all images are trained on


@dataclass(frozen=True)
class Request:
    """What the user asked; the fields are the options of ``nesy-gedi train``."""

    program: str | None = None
    query: str | None = None
    dataset: str = "mnist"
    examples: int | None = None
    distribution: str = "readings"
    examples_csv: str | None = None
    images: str | None = None
    variant: str | None = None
    clusters: int | None = None
    seeds: int = 1
    first_seed: int = 0
    epochs: int | None = None
    width: int | None = None
    engine: str = "circuit"
    preset: str = "cpu"
    data_dir: str | None = None
    precision: str = "auto"
    device: str = "auto"
    out: str | None = None
    assignments: tuple[str, ...] = ()
    trust_program: bool = False
    compile_timeout: float = 60.0
    stabilise: str | None = None
    save_seconds: float = 30.0
    report: bool = True
    csv: bool = False
    tensorboard: bool = False


@dataclass(frozen=True)
class Prepared:
    """A request that has been checked.

    Attributes:
        method: a row of the table of methods.
        examples: how many; None for all images, without a program.
    """

    learner: Learner
    preset: Preset
    method: str
    examples: int | None
    device: str
    precision: str


def prepare(request: Request) -> Prepared:
    """Check a request and load all that it needs.

    Raises:
        UserError: a name, a number, the program, the data or a setting is wrong.
    """
    if request.examples is not None and request.examples < 1:
        raise UserError(f"--examples {request.examples}: at least 1 is needed, for example 1000")
    if request.tensorboard:
        check_tensorboard()
    changes = _changes(request)
    device = choose_device(request.device)
    precision = choose_precision(request.precision, device)
    program = _program(request)
    limits = Limits(request.compile_timeout)
    given: Examples | None = None
    if request.examples_csv is None and request.images is None:
        images = load_data_set(request.dataset, request.data_dir)
    else:
        images, given = _own_examples(request, program, limits)
    method = request.variant or ("gedi" if program is None else "combined")
    recipe = "addition" if program is not None else recipe_for(images)
    table = request.dataset if request.dataset in DATA_SETS else None  # own data may be called anything
    preset = load_preset(recipe, request.preset, method, changes, table)
    distribution = parse_distribution(request.distribution)
    learner = Learner(program, images, preset.config, request.engine, device, precision, distribution, limits)
    if given is not None:
        learner.give(given)
    examples = len(given.images) if given is not None else request.examples
    if program is not None and examples is None:
        examples = EXAMPLES
    drawn = _draw(learner, examples, request)
    learner.config = replace(learner.config, epochs=preset.epochs(*drawn.images.shape))
    check_sizes(learner, len(drawn.images))
    return Prepared(learner, preset, method, examples, device, precision)


def recipe_for(images: ImageSet) -> str:
    """The recipe's file for a data set without a program: vectors are the paper's toys."""
    return "toys" if images.train_images.is_floating_point() else "images"


def _changes(request: Request) -> Mapping[str, Any]:
    """Settings from the command line; options give way to ``--set``."""
    options: dict[str, Any] = {}
    if request.width:
        options["network"] = {"width": request.width}
    if request.clusters:
        options["clusters"] = request.clusters
    if request.epochs:
        options["epochs"] = request.epochs
    if request.stabilise is not None:
        if request.stabilise not in STABILISERS:
            raise unknown("stabiliser", request.stabilise, STABILISERS)
        options = merge(options, STABILISERS[request.stabilise])
    return changed_settings(options, parse_assignments(request.assignments))


def changed_settings(options: Mapping[str, Any], settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is asked for by options, and by the settings' own names, which win: nested tables.

    Raises:
        UserError: the settings have ``network.classes``.
    """
    network = settings.get("network")
    if isinstance(network, Mapping) and "classes" in network:
        raise UserError(
            "network.classes follows from the program or the data: set the number of clusters with --clusters"
        )
    return merge(options, settings)


def _program(request: Request) -> Program | None:
    if request.program is not None:
        return read_program(request.program, request.query, request.trust_program)
    if request.query is not None or request.distribution != "readings":
        raise UserError("--query and --distribution are about a program: give one with --program")
    return None


def _own_examples(
    request: Request, program: Program | None, limits: Limits
) -> tuple[ImageSet, Examples | None]:
    if program is None or request.examples_csv is None or request.images is None:
        raise UserError("--examples-csv and --images go together, with a --program: give all three")
    if request.examples is not None:
        raise UserError(
            f"--examples {request.examples} and --examples-csv {request.examples_csv} are both given, but "
            "the rows of the file are the examples: leave --examples out, or rows of the file"
        )
    if request.distribution != "readings":
        raise UserError("--distribution draws examples, --examples-csv gives them: leave one out")
    circuit = ConstraintCircuit(program, limits=limits)
    images, rows, readings = read_examples(circuit, Path(request.examples_csv), Path(request.images))
    return images, Examples(rows, readings)


def check_sizes(learner: Learner, examples: int) -> None:
    """The network must fit the images, and the views of a step must be enough for the clusters.

    Raises:
        UserError: they are not.
    """
    config = learner.config
    with torch.device("meta"):
        GEDINetwork(config.network)
    images = min(config.batch_size, examples)
    clusters, views = config.network.classes, config.views_taken * images
    if learner.program is None and clusters > views:
        raise UserError(
            f"{clusters} clusters cannot be told apart by {views} views of the {images} images of a batch: "
            "raise batch_size, or give more images"
        )


def _draw(learner: Learner, examples: int | None, request: Request) -> Examples:
    """The first seed's examples: a wrong number of them is found before anything is written."""
    try:
        return learner.examples(examples, request.first_seed)
    except TooFewImagesError as error:
        if request.dataset != "mnist" or len(learner.images.train_images) >= 60_000:
            raise
        data_dir, _ = resolve_data_dir(request.data_dir)
        command = f"`nesy-gedi data fetch mnist --data-dir {data_dir}`"
        raise TooFewImagesError(f"{error}; {command} fetches all 60,000 training images") from None
