"""What a report is made of: a run's record, its network, and its data and program where they can be had."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from torch import Tensor

from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.outputs import Outputs, outputs_of
from nesy_gedi.gedi.networks import energy_of
from nesy_gedi.learning import Learner
from nesy_gedi.report.record import Record
from nesy_gedi.request import prepare
from nesy_gedi.stored_run import check_same, described_request
from nesy_gedi.trained import TrainedRun


class Material:
    """A finished run, and what it was trained on.

    Args:
        folder: of the run.
        learner: what it was trained with; by default it is made again from what the run wrote down.
        data_dir: where data sets lie; by default where they lay for the training.

    Attributes:
        learner: None if it could not be made again; then ``missing`` says why.

    Raises:
        UserError: there is no finished run.
    """

    def __init__(
        self, folder: str | Path, learner: Learner | None = None, data_dir: str | None = None
    ) -> None:
        self.record = Record.read(folder)
        self.trained = TrainedRun(folder)
        self.learner, self.missing = learner, ""
        if learner is None:
            try:
                self.learner = self._made_again(data_dir)
            except UserError as error:  # data that are not there any more, or are others
                self.missing = str(error)

    def _made_again(self, data_dir: str | None) -> Learner:
        request = described_request(self.record.folder, data_dir)
        learner = prepare(request).learner
        program = learner.program.source.text if learner.program is not None else None
        check_same(self.record.folder, {"sha256": learner.images.sha256, "program": program})
        return learner

    @property
    def needed(self) -> Learner:
        """The learner, where it is known to be there."""
        assert self.learner is not None
        return self.learner

    @property
    def optima(self) -> Mapping[str, float | None]:
        """Of the terms, nats; none known without the data."""
        return {} if self.learner is None else self.learner.optima()

    @cached_property
    def shown(self) -> tuple[Tensor, Tensor | None]:
        """The images that the report looks at: for test, else for training; and their classes, if known.

        Images ``(n, channels, height, width)``, classes ``(n,)``.
        """
        test = self.needed.test_set()
        if test is not None and len(test[0]):
            return test
        images = self.needed.images
        return (images.test_images if len(images.test_images) else images.train_images), None

    @property
    def split(self) -> str:
        """What :attr:`shown` is called."""
        return "test" if len(self.needed.images.test_images) else "training"

    @cached_property
    def outputs(self) -> Outputs:
        """What the network gives for :attr:`shown`.

        Raises:
            UserError: its numbers are not finite.
        """
        return outputs_of(self.trained.network, self.shown[0])

    @cached_property
    def energies(self) -> Tensor:
        """E(x) of :attr:`shown`, nats, ``(n,)``."""
        return energy_of(self.outputs.logits)

    @property
    def uses(self) -> Mapping[str, float]:
        """Weights of the method's terms."""
        weights: Mapping[str, float] = self.record.description["config"]["method"]["weights"]
        return {name: weight for name, weight in weights.items() if weight}
