"""Measures that need labels, of a run's test images."""

from dataclasses import asdict
from typing import Any

from torch import Tensor

from nesy_gedi.evaluation.clustering import BATCH, KMEANS_STARTS, clustering_score, kmeans_score
from nesy_gedi.evaluation.probe import ProbeConfig, linear_probe, nearest_neighbours
from nesy_gedi.evaluation.subject import Labelled, Subject

_NEIGHBOURS = 20
SEED = 0  # of every draw of a measure: figures of the same run are the same


def clustering(subject: Subject) -> dict[str, Any]:
    """Agreement of the network's clusters with the labels."""
    clusters = subject.network.config.classes
    test, labels = subject.named_test
    score = clustering_score(test.predicted, _known(labels), clusters)
    settings = {"clusters": clusters, "classes": subject.classes, "nmi_batch": BATCH}
    return {**asdict(score), "settings": {**_tested(subject), **settings}}


def kmeans(subject: Subject) -> dict[str, Any]:
    """Agreement of k-means on the encoder's features with the labels."""
    clusters = subject.network.config.classes
    train, (test, labels) = subject.named_train.outputs, subject.named_test
    score = asdict(kmeans_score(train.features, test.features, _known(labels), clusters, SEED))
    settings = {"fitted_on": len(train.features), "clusters": clusters, "starts": KMEANS_STARTS, "seed": SEED}
    # the centres' numbers are arbitrary: agreement without matching would be one more random number
    figures = {name: score[name] for name in ("matched_accuracy", "nmi", "ari")}
    return {**figures, "settings": {"of": "encoder features", **_tested(subject), **settings}}


def probe(subject: Subject) -> dict[str, Any]:
    """Test accuracy of a linear classifier on frozen features."""
    config = ProbeConfig(seed=SEED)
    train, test = _features(subject.named_train), _features(subject.named_test)
    settings = {**_tested(subject), "fitted_on": len(train[0]), **asdict(config)}
    return {"accuracy": linear_probe(*train, *test, config), "settings": settings}


def knn(subject: Subject) -> dict[str, Any]:
    """Test accuracy of nearest neighbours on frozen features."""
    train, test = _features(subject.named_train), _features(subject.named_test)
    settings = {"fitted_on": len(train[0]), "neighbours": _NEIGHBOURS, "similarity": "cosine"}
    accuracy = nearest_neighbours(*train, *test, _NEIGHBOURS)
    return {"accuracy": accuracy, "settings": {**_tested(subject), **settings}}


def _features(part: Labelled) -> tuple[Tensor, Tensor]:
    return part.outputs.features, _known(part.labels)


def _known(labels: Tensor | None) -> Tensor:
    """For measures that were found to have them."""
    assert labels is not None
    return labels


def _tested(subject: Subject) -> dict[str, Any]:
    whole, named = len(subject.images.test_images), subject.count("test")
    share = {} if subject.domain is None else {"named_by_the_program": f"{named:,} of {whole:,}"}
    return {"split": "test", "images": named, **share, **subject.precision}
