"""``nesy-gedi evaluate``: the measures of a trained run, written beside it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from nesy_gedi.data.images import ImageSet
from nesy_gedi.data.sets import load_data_set
from nesy_gedi.drawing import default_steps, kept_samples, run_folder
from nesy_gedi.errors import UserError, unknown
from nesy_gedi.evaluation import generation, labelled
from nesy_gedi.evaluation.labelled import SEED
from nesy_gedi.evaluation.ood import detection, fit_to, ood_scores, write_scores
from nesy_gedi.evaluation.own_terms import failures, missing_terms
from nesy_gedi.evaluation.report import read_results, write_results
from nesy_gedi.evaluation.subject import Subject, recorded
from nesy_gedi.run_files import METRICS, RESULT


@dataclass(frozen=True)
class EvaluationOptions:
    """What to measure, and with what.

    Attributes:
        measures: names of :data:`MEASURES`; None for all that need nothing beside run and labels.
        ood: other data sets, by name or path; those given are always measured against.
        data_dir: where data sets lie.
        samples: number of samples for ``generation``.
        sampler_steps: SGLD steps of each; None for :func:`~nesy_gedi.drawing.default_steps`.
        reference: what samples are compared with: ``train`` or ``test``.
        inception_weights: file of the Inception network; the hub cache's if None.
        features: ``inception``, ``classifier``, or another run.
    """

    measures: tuple[str, ...] | None = None
    ood: tuple[str, ...] = ()
    data_dir: str | None = None
    samples: int = 10_000
    sampler_steps: int | None = None
    reference: str = "train"
    inception_weights: str | None = None
    features: str = generation.INCEPTION


@dataclass(frozen=True)
class Prepared:
    """What is loaded before anything is computed, so that a mistake shows at once.

    Attributes:
        others: other data sets by name, brought to the run's shape: images, and settings that say what
            was done to them.
        space: features for ``generation``; None if it is not asked for.
    """

    others: dict[str, tuple[Tensor, dict[str, Any]]]
    space: generation.FeatureSpace | None


_Take = Callable[[Subject, EvaluationOptions, Prepared], dict[str, Any]]


class Measure(NamedTuple):
    """How a measure is taken, and which labels it needs: none, ``test``, or ``train and test``."""

    take: _Take
    labels: str
    by_default: bool


def _by_labels(take: Callable[[Subject], dict[str, Any]]) -> _Take:
    return lambda subject, options, prepared: take(subject)


def _failures(subject: Subject, options: EvaluationOptions, prepared: Prepared) -> dict[str, Any]:
    folder = run_folder(subject.run)
    return failures(subject, folder / RESULT, folder / METRICS)


def _ood(subject: Subject, options: EvaluationOptions, prepared: Prepared) -> dict[str, Any]:
    found: dict[str, Any] = {}
    others = {name: ood_scores(subject.network, images) for name, (images, _) in prepared.others.items()}
    for name, scores in others.items():
        figures = {score: detection(subject.scores[score], values) for score, values in scores.items()}
        made = prepared.others[name][1]
        found[name] = {**figures, "settings": {**_tested(subject), **made, "positive": "in-distribution"}}
    write_scores(run_folder(subject.run), subject.scores, others)
    return found


def _generation(subject: Subject, options: EvaluationOptions, prepared: Prepared) -> dict[str, Any]:
    space, count, steps = prepared.space, options.samples, options.sampler_steps
    assert space is not None
    if steps is None:
        steps = default_steps(recorded(subject.description, subject.run, "data", "bounded"))
    samples = kept_samples(subject.run, count, steps, SEED)
    images = subject.images
    real = _reference(images, options.reference)
    if space.name == generation.CLASSIFIER:  # the run's own features, computed for other measures as well
        reference = (subject.train if options.reference == "train" else subject.test).features
    else:
        reference = space.extract(real)
    drawn = space.extract(samples.images)
    mean, deviation, subset = generation.kernel_distance(drawn, reference, SEED)
    settings = {
        "samples": count,
        "sampler_steps": steps,
        "seed": samples.settings["seed"],
        "reference": f"{images.name} {options.reference}",
        "reference_images": len(real),
        "resize": space.resize,
        "features": f"{space.name} ({drawn.shape[1]})",
        "kernel_subset": subset,
        **subject.precision,
    }
    figures = {
        space.frechet: generation.frechet_distance(drawn, reference),
        space.kernel: mean,
        f"{space.kernel} deviation": deviation,
    }
    remarks = generation.degenerate(drawn, reference)
    return {space.name: {**figures, "settings": settings, "remarks": remarks}}


MEASURES = {
    "clustering": Measure(_by_labels(labelled.clustering), "test", True),
    "kmeans": Measure(_by_labels(labelled.kmeans), "test", True),
    "probe": Measure(_by_labels(labelled.probe), "train and test", True),
    "knn": Measure(_by_labels(labelled.knn), "train and test", True),
    "failures": Measure(_failures, "", True),
    "ood": Measure(_ood, "", False),
    "generation": Measure(_generation, "", False),
}
"""What ``--measures`` names."""


def evaluate(
    run: str | Path, options: EvaluationOptions, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Measure a run, and add what was found to its ``evaluation.json``.

    Args:
        run: folder or weights file.
        options: what to measure.
        say: called with a sentence for every measure that is left out.

    Returns:
        By measure: its figures, and under ``settings`` what they were made with. ``failures``, ``ood`` and
        ``generation`` hold such a table for each seed, other data set, and space of features.

    Raises:
        UserError: an unknown measure, no such run, other data than it was trained on, or labels, files or
            images missing that a measure needs.
    """
    for name in options.measures or ():
        if name not in MEASURES:
            raise unknown("measure", name, MEASURES)
    if "ood" in (options.measures or ()) and not options.ood:
        raise UserError(
            "the measure ood compares with other data sets: name them, as in --ood cifar100,mnist"
        )
    if options.reference not in ("train", "test"):
        raise unknown("reference", options.reference, ("train", "test"))
    subject = Subject(run, options.data_dir)
    read_results(run_folder(run))  # a damaged file is better known before than after
    measures, remarks = _measures(subject, options)
    prepared = _prepare(subject, options, measures)
    for remark in remarks:
        say(remark)
    results = {name: MEASURES[name].take(subject, options, prepared) for name in measures}
    write_results(run_folder(run), results)
    return results


def _measures(subject: Subject, options: EvaluationOptions) -> tuple[list[str], list[str]]:
    """The measures to take, in the table's order, and a sentence for each that is left out."""
    asked = set(options.measures or (name for name, measure in MEASURES.items() if measure.by_default))
    asked |= {"ood"} if options.ood else set()
    taken, remarks = [], []
    for name in (name for name in MEASURES if name in asked):
        missing = missing_for(subject.images, name, options) or _missing_in_run(subject, name)
        if missing and (options.measures is not None or not MEASURES[name].by_default):
            raise UserError(f"the measure {name} needs {missing}: choose others with --measures")
        if missing:
            remarks.append(f"{name} is left out: it needs {missing}")
        else:
            taken.append(name)
    if not taken:
        raise UserError(
            f"{subject.images.name} ({subject.images.source}) has no labels to measure with: ask for --ood "
            "or generation"
        )
    return taken, remarks


def missing_for(images: ImageSet, name: str, options: EvaluationOptions) -> str:
    """What a data set lacks for a measure, in words; empty if nothing."""
    if name == "failures":
        return ""
    needed = MEASURES[name].labels
    splits = {"train": images.train_images, "test": images.test_images}
    wanted = [options.reference] if name == "generation" else ["test"]
    wanted += ["train"] if name == "kmeans" or "train" in needed else []
    for split in wanted:
        if not len(splits[split]):
            return f"{split} images, which {images.name} does not have"
    labels = {"train": images.train_labels, "test": images.test_labels}
    for split in ("train", "test"):
        if split in needed and labels[split] is None:
            return f"{split} labels, which {images.name} does not have"
    return ""


def _missing_in_run(subject: Subject, name: str) -> str:
    """What a run lacks for a measure that its data would allow, in words; empty if nothing."""
    path, clusters = run_folder(subject.run) / RESULT, subject.network.config.classes
    if name == "failures":
        return missing_terms(subject, path)
    needed = MEASURES[name].labels
    for split in ("train", "test"):
        if split in needed and not subject.count(split):
            return f"{split} images that the program can name, which {subject.images.name} does not have"
    if name == "kmeans" and subject.count("train") < clusters:
        found = f"{subject.images.name} has {subject.count('train')}"
        return f"as many training images as clusters, {clusters}, and {found}"
    return ""


def _prepare(subject: Subject, options: EvaluationOptions, measures: list[str]) -> Prepared:
    shape = tuple(subject.images.test_images.shape[1:])
    others = {}
    for name in options.ood:
        other = load_data_set(name, options.data_dir)
        split = "test" if len(other.test_images) else "train"
        images, done = fit_to(other.test_images if split == "test" else other.train_images, shape)
        others[name] = images, {"others": len(images), "others_split": split, "others_fitted": done}
    space = None
    if "generation" in measures:
        reference = _reference(subject.images, options.reference)
        space = generation.feature_space(
            options.features, subject.network, reference, options.inception_weights
        )
    return Prepared(others, space)


def _reference(images: ImageSet, split: str) -> Tensor:
    return images.train_images if split == "train" else images.test_images


def _tested(subject: Subject) -> dict[str, Any]:
    return {"split": "test", "images": len(subject.images.test_images), **subject.precision}
