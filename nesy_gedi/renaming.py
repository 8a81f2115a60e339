"""``nesy-gedi name``: names for the clusters of a network that was trained without any constraint."""

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from nesy_gedi.data.sets import load_data_set
from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.clustering import clustering_score, predict
from nesy_gedi.gedi.checkpoint import load_run, save_network
from nesy_gedi.gedi.config import TrainConfig
from nesy_gedi.gedi.naming import Clusters, Naming, best_namings, rename_clusters
from nesy_gedi.gedi.networks import GEDINetwork
from nesy_gedi.learning import Learner
from nesy_gedi.logic.declarations import Program
from nesy_gedi.logic.limits import Limits
from nesy_gedi.reporting.run import RunFolder, free_folder
from nesy_gedi.run_files import RESULT, WEIGHTS


def name_run(
    console: Console,
    run: str,
    program: Program,
    examples: int,
    seed: int,
    data_dir: str | None,
    out: str | None,
    timeout: float,
) -> None:
    """Search the names under which most examples of a program hold, and write a run that has them.

    Args:
        console: where to say what was found.
        run: folder of the run whose network is named; it is not changed.
        program: what is known of the images.
        examples: number of examples to draw.
        seed: decides the examples, and where the search starts.
        data_dir: where data sets lie.
        out: folder of the new run; ``RUN-named`` by default.
        timeout: for compiling, seconds.

    Raises:
        UserError: no such run, the data is not what it was trained on, or the number of classes differs.
    """
    network, description = load_run(run)
    program.check_classes(network.config.classes)
    images = load_data_set(description["data"]["name"], data_dir)
    if images.sha256 != description["data"]["sha256"]:
        raise UserError(
            f"{run} was trained on {description['data']['source']}, this is {images.source}, other images: "
            "give the folder of the first with --data-dir"
        )
    learner = Learner(program, images, TrainConfig(network=network.config), limits=Limits(timeout))
    found, present = _search(learner, network, examples, seed)
    folder = RunFolder(Path(out) if out else free_folder(Path(run).parent, f"{Path(run).name}-named"))
    console.print(
        f"as they are, {present:.1%} of {examples:,} examples hold; the best names:", highlight=False
    )
    for naming in found:
        console.print(
            f"  {naming.share:6.1%}  {_text(naming, learner.domain)}", highlight=False, soft_wrap=True
        )
    rename_clusters(network.last_layer, found[0].classes)
    description = _described(description, run, program)
    folder.begin(description)
    save_network(network, folder.path / WEIGHTS, description)
    namings = [naming._asdict() for naming in found]
    scores = _scores(learner, network)
    if scores:
        console.print(f"test accuracy {scores['accuracy']:.3f}, matched {scores['matched_accuracy']:.3f}")
    folder.write_json(RESULT, {"namings": namings, "satisfied_before": present, **scores})
    console.print(f"run: {folder.path}", soft_wrap=True, highlight=False)


def _described(description: Mapping[str, Any], run: str, program: Program) -> dict[str, Any]:
    """The new run's description, from that of the run whose network was named."""
    asked = {"program": str(program.path), "query": program.asked, "trust_program": program.trusted}
    return {
        **description,
        "command": ["nesy-gedi", *sys.argv[1:]],
        "named_from": run,
        "program": program.source.text,
        "query": str(program.query),
        "request": {**description["request"], **asked},
    }


def _search(learner: Learner, network: GEDINetwork, examples: int, seed: int) -> tuple[list[Naming], float]:
    """The best names, and the share of the examples that the present ones satisfy."""
    drawn = learner.examples(examples, seed)
    constraint = learner.constraint(drawn)
    assert constraint is not None
    images = learner.images.train_images[drawn.images.flatten()]
    read = predict(network, images).view(drawn.images.shape)
    clusters = Clusters(read, constraint.kinds, constraint.satisfied)
    classes, starts = network.config.classes, learner.config.naming.starts
    found = best_namings(clusters, classes, np.random.default_rng(seed), starts)
    return found, float(clusters.shares(np.arange(classes)[None])[0])


def _scores(learner: Learner, network: GEDINetwork) -> dict[str, float]:
    """Accuracy, matched accuracy and NMI on the test set; nothing without labels."""
    test = learner.test_set()
    if test is None:
        return {}
    return asdict(clustering_score(predict(network, test[0]), test[1], network.config.classes))


def _text(naming: Naming, names: tuple[str, ...]) -> str:
    return ", ".join(f"cluster {k} is {names[c]}" for k, c in enumerate(naming.classes))
