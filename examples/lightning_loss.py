"""A program as a loss in a LightningModule: the loop of own_loop.py, without callbacks, run by Lightning.

Needs ``pip install lightning``.
"""

import argparse

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from nesy_gedi.data.sets import load_data_set
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.program import read_program
from nesy_gedi.resources import resource

BATCH = 64  # pairs of images


class DigitReader(lightning.LightningModule):
    """Reads digits, and is trained with the sums of pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(1, 16, 5, stride=2), nn.ReLU(), nn.Conv2d(16, 32, 5, stride=2), nn.ReLU(),
            nn.Flatten(), nn.Linear(32 * 4 * 4, 10),
        )  # fmt: skip
        self.constraint = ConstraintCircuit(read_program(resource("programs", "labelled_addition.pl")))
        number = [self.constraint.answer_index([total]) for total in range(19)]
        self.register_buffer("number", torch.tensor(number))

    def training_step(self, batch: list[Tensor]) -> Tensor:
        """Images ``(batch, 2, 1, 28, 28)`` and their sums ``(batch,)`` to −log P(sums | images), nats."""
        images, sums = batch
        scores = self.network(images.flatten(0, 1)).view(len(images), 2, 10)
        return -self.constraint(scores.log_softmax(2), answers=self.number[sums]).mean()

    def test_step(self, batch: list[Tensor]) -> None:
        """Accuracy on single images, whose labels no training step has seen."""
        images, labels = batch
        self.log("accuracy", (self.network(images).argmax(1) == labels).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=2e-3)


def main(steps: int) -> None:
    """Train on random pairs of the training images, and test on single test images."""
    lightning.seed_everything(0, verbose=False)
    digits = load_data_set("mnist", None)
    images, labels = digits.train_images.float() / 255, digits.train_labels

    def look_up(pairs: list[Tensor]) -> tuple[Tensor, Tensor]:
        indices = torch.stack(pairs)
        return images[indices], labels[indices].sum(1)

    pairs = DataLoader(torch.randint(len(images), (steps * BATCH, 2)), BATCH, collate_fn=look_up)
    test = TensorDataset(digits.test_images.float() / 255, digits.test_labels)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    trainer = lightning.Trainer(accelerator="cpu", max_epochs=1, enable_progress_bar=False, **quiet)
    reader = DigitReader()
    trainer.fit(reader, pairs)
    (result,) = trainer.test(reader, DataLoader(test, batch_size=500), verbose=False)
    print(f"{steps} steps: accuracy {result['accuracy']:.3f} on {len(test)} test images")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400, help="updates, of 64 pairs each")
    main(parser.parse_args().steps)
