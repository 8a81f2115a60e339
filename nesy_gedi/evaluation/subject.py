"""A trained run together with the data it was trained on, for measures to share."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

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


class Subject:
    """A run with its data; what several measures need is computed once.

    Args:
        run: folder or weights file.
        data_dir: where data sets lie.

    Raises:
        UserError: there is no such run, or the data is missing or not what it was trained on.
    """

    def __init__(self, run: str | Path, data_dir: str | None) -> None:
        self.run = run
        self.network, description = load_run(run)
        trained_on = recorded(description, run, "data")
        # what the user typed, which may be a path, says where data lies; its own name is for people
        name = description.get("request", {}).get("dataset") or recorded(description, run, "data", "name")
        self.images = load_data_set(name, data_dir)
        if self.images.sha256 != recorded(description, run, "data", "sha256"):
            raise UserError(
                f"{run} was trained on {trained_on.get('source')}, this is {self.images.source}, other "
                "images: give the folder of the first with --data-dir"
            )

    @cached_property
    def train(self) -> Outputs:
        """Of the training images."""
        return outputs_of(self.network, self.images.train_images)

    @cached_property
    def test(self) -> Outputs:
        """Of the test images."""
        return outputs_of(self.network, self.images.test_images)

    @cached_property
    def scores(self) -> dict[str, Tensor]:
        """Out-of-distribution scores of the test images."""
        return ood_scores(self.network, self.images.test_images)

    @property
    def test_labels(self) -> Tensor:
        """For measures that were found to have them."""
        assert self.images.test_labels is not None
        return self.images.test_labels

    @property
    def train_labels(self) -> Tensor:
        """For measures that were found to have them."""
        assert self.images.train_labels is not None
        return self.images.train_labels
