"""A trained run, to be asked: images are brought to what it knows, read, and told if unknown to it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from nesy_gedi.data.files import from_pillow, read_image
from nesy_gedi.data.framing import Framing, framed, framing_of
from nesy_gedi.data.images import ImageSet, to_float
from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.outputs import outputs_of
from nesy_gedi.gedi.checkpoint import load_run
from nesy_gedi.gedi.networks import GEDINetwork, energy_of
from nesy_gedi.logic.declarations import Program
from nesy_gedi.logic.program import parse_program
from nesy_gedi.logic.source import Source

UNKNOWN_ABOVE = 0.99
"""An image whose energy is above that of so large a share of known images is told as unknown; so one known
image in a hundred is told as well."""
_QUANTILES = 1000


@dataclass(frozen=True)
class Look:
    """What a network sees in images.

    Attributes:
        log_posterior: ``(n, classes)``, nats.
        energies: E(x) ``(n,)``, nats.
        ranks: for each image the share of known images with a lower energy, ``(n,)``, in [0, 1]; None if
            the run does not say what it knows.
    """

    log_posterior: Tensor
    energies: Tensor
    ranks: Tensor | None


def known_of(network: GEDINetwork, images: ImageSet) -> dict[str, Any]:
    """What images a trained network knows, to be kept with its weights: their framing, and their energies.

    Energies are those of test images where there are some: training has lowered those of its own.

    Returns:
        ``framing``: fields of :class:`~nesy_gedi.data.framing.Framing`, or None. ``energies``: their
        quantiles in steps of 1/1000, nats, not there if the network diverged. ``of``: of which images.
    """
    split, shown = (
        ("test", images.test_images) if len(images.test_images) else ("training", images.train_images)
    )
    # images from files were resized as a whole for training, and are to be for asking
    framing = None if images.from_files else framing_of(images.train_images)
    known: dict[str, Any] = {"framing": None if framing is None else asdict(framing)}
    try:
        energies = energy_of(outputs_of(network, shown).logits).double()
    except UserError:  # a training that diverged knows nothing
        return known
    steps = torch.linspace(0, 1, _QUANTILES + 1).double()
    quantiles = [float(f"{value:.6g}") for value in energies.quantile(steps).tolist()]
    return {**known, "energies": quantiles, "of": f"{len(shown):,} {split} images of {images.name}"}


class TrainedRun:
    """A run's network with the images and the program that it was trained on.

    Args:
        run: folder or weights file.

    Attributes:
        known: what :func:`known_of` gave; empty for a run that was not finished.

    Raises:
        UserError: there is no such run.
    """

    def __init__(self, run: str | Path) -> None:
        self.run = run
        self.network, self.description = load_run(run)
        self.known: Mapping[str, Any] = self.description.get("known", {})
        self.framing = Framing.from_description(self.known.get("framing"))

    @property
    def source(self) -> Source:
        """The program that it was trained with.

        Raises:
            UserError: it was trained without one.
        """
        if not self.description.get("program"):
            raise UserError(
                f"{self.run} was trained without a program: name its clusters first, "
                f"`nesy-gedi name {self.run} --program FILE.pl`"
            )
        return Source(Path(self.run) / "program.pl", self.description["program"])

    def program(self, query: str | None = None) -> Program:
        """Its program with a query, by default the one that it was trained with.

        Raises:
            UserError: it was trained without a program.
            ProgramError: the query does not fit the program.
        """
        trusted = bool(self.description["request"].get("trust_program"))
        return parse_program(self.source, query or self.description.get("query"), trusted)

    def read(self, path: Path) -> Tensor:
        """An image file as the network takes it, uint8 ``(channels, height, width)``.

        Raises:
            UserError: it cannot be read as an image.
        """
        config = self.network.config
        if self.framing is None:
            return read_image(path, config.channels, config.image_height, config.image_width)
        return self.framed(read_image(path, config.channels))

    def take(self, picture: Image.Image) -> Tensor:
        """A picture in memory as the network takes it, uint8 ``(channels, height, width)``."""
        config = self.network.config
        if self.framing is None:
            return from_pillow(picture, config.channels, config.image_height, config.image_width)
        return self.framed(from_pillow(picture, config.channels))

    def framed(self, image: Tensor) -> Tensor:
        """An image of any size, uint8 ``(channels, any height, any width)``, framed as the known ones are."""
        assert self.framing is not None
        config = self.network.config
        return framed(image, self.framing, config.image_height, config.image_width)

    @torch.no_grad()
    def look(self, images: Tensor) -> Look:
        """Read images ``(n, channels, height, width)``, uint8."""
        logits: Tensor = self.network(to_float(images))
        energies = energy_of(logits)
        ranks = None
        if "energies" in self.known:
            quantiles = torch.tensor(self.known["energies"])
            ranks = torch.searchsorted(quantiles, energies.contiguous()).float() / len(quantiles)
        return Look(logits.log_softmax(1), energies, ranks)

    def judged(self, look: Look, row: int, name: str) -> tuple[float, float | None, str | None]:
        """What an image's energy says: E(x) in nats, its rank, and a sentence if it is hardly known.

        Args:
            look: what :meth:`look` gave.
            row: the image's.
            name: what the sentence calls it.
        """
        energy = float(look.energies[row])
        if look.ranks is None:
            return energy, None, None
        rank = float(look.ranks[row])
        if rank <= UNKNOWN_ABOVE:
            return energy, rank, None
        return (
            energy,
            rank,
            f"{name} looks like nothing that the network knows: its energy, {energy:.3f} nats, is above that "
            f"of {rank:.1%} of the {self.known['of']}; how it is read means little",
        )
