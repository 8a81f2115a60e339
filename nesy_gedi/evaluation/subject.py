"""A trained run together with the data it was trained on, for measures to share."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from nesy_gedi.data.images import domain_labels
from nesy_gedi.data.sets import load_data_set
from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.ood import ood_scores
from nesy_gedi.evaluation.outputs import Outputs, outputs_of
from nesy_gedi.gedi.checkpoint import load_run


def recorded(description: Mapping[str, Any], run: str | Path, *keys: str) -> Any:
    """An entry of a run's description, by its nested keys.

    Raises:
        UserError: there is none, because another version of nesy-gedi wrote the run.
    """
    found: Any = description
    for key in keys:
        if not isinstance(found, Mapping) or key not in found:
            raise UserError(
                f"{run} is of another version of nesy-gedi: no {'.'.join(keys)} in it; train it again"
            )
        found = found[key]
    return found


class Labelled(NamedTuple):
    """What the network gives for n images, and their classes ``(n,)``; None where nobody knows them."""

    outputs: Outputs
    labels: Tensor | None


class Subject:
    """A run with its data; what several measures need is computed once.

    Labels are numbers of the data set's classes; for a run with a program, of its symbols, -1 where it has
    none for a class. So training scores as well.

    Args:
        run: folder or weights file.
        data_dir: where data sets lie.

    Attributes:
        domain: the symbols of the recorded program's network; None for a run without a program.
        classes: number of classes that labels can have.

    Raises:
        UserError: there is no such run, it was trained on images of the user's own, or the data is missing or
            not what it was trained on.
    """

    def __init__(self, run: str | Path, data_dir: str | None) -> None:
        self.run = run
        self.network, self.description = load_run(run)
        trained_on = recorded(self.description, run, "data")
        # what the user typed, which may be a path, says where data lies; its own name is for people
        name = recorded(self.description, run, "request", "dataset")
        own = self.description["request"].get("examples_csv")
        if own is not None:
            raise UserError(
                f"{run} was trained on images of your own ({own}): there is no data set to evaluate on"
            )
        sha256 = recorded(self.description, run, "data", "sha256")
        self.images = load_data_set(name, data_dir)
        if self.images.sha256 != sha256:
            raise UserError(
                f"{run} was trained on {trained_on.get('source')}, this is {self.images.source}, other "
                "images: give the folder of the first with --data-dir"
            )
        self.domain = _domain(run, self.description)
        self.classes = self.images.classes if self.domain is None else len(self.domain)
        self.train_labels = self._labels(self.images.train_labels)
        self.test_labels = self._labels(self.images.test_labels)

    def _labels(self, labels: Tensor | None) -> Tensor | None:
        if labels is None or self.domain is None:
            return labels
        return domain_labels(self.images, labels, self.domain, f"the program of {self.run}")

    def count(self, split: str) -> int:
        """How many images of ``train`` or ``test`` have a class; all of them where nobody knows."""
        train = split == "train"
        labels = self.train_labels if train else self.test_labels
        images = self.images.train_images if train else self.images.test_images
        return len(images) if labels is None else int((labels >= 0).sum())

    @cached_property
    def train(self) -> Outputs:
        """Of the training images."""
        return outputs_of(self.network, self.images.train_images)

    @cached_property
    def test(self) -> Outputs:
        """Of the test images."""
        return outputs_of(self.network, self.images.test_images)

    @cached_property
    def named_train(self) -> Labelled:
        """The training images that have a class, all of them where nobody knows."""
        return _named(self.train, self.train_labels)

    @cached_property
    def named_test(self) -> Labelled:
        """The test images that have a class, all of them where nobody knows."""
        return _named(self.test, self.test_labels)

    @cached_property
    def scores(self) -> dict[str, Tensor]:
        """Out-of-distribution scores of the test images by name, each ``(n,)``."""
        return ood_scores(self.network, self.images.test_images)

    @property
    def precision(self) -> dict[str, str]:
        """The precision of measures, and that of the training and of its own score if it was another."""
        own = self.network.precision
        trained = self.description.get("precision", own)
        if self.network.config.encoder == "mlp" or trained == own:  # an mlp is fp32 in any case
            return {"precision": own}
        return {"precision": own, "trained_in": trained}


def _named(outputs: Outputs, labels: Tensor | None) -> Labelled:
    if labels is None or bool((labels >= 0).all()):
        return Labelled(outputs, labels)
    named = labels >= 0
    return Labelled(outputs.at(named), labels[named])


def _domain(run: str | Path, description: Mapping[str, Any]) -> tuple[str, ...] | None:
    """What the recorded program's network reads images as; None without a program."""
    text = description.get("program")
    if text is None:
        return None
    # half a second to import, and wanted only here
    from nesy_gedi.logic.program import parse_program
    from nesy_gedi.logic.source import Source

    query = recorded(description, run, "query")
    trusted = bool(description["request"].get("trust_program"))
    program = parse_program(Source(Path(run, "program.pl"), text), query, trusted)
    return program.domains[program.single_network()]
