"""A program as the loss of a training loop of one's own: digits learned from the sums of pairs alone."""

import argparse

import torch
from torch import nn

from nesy_gedi.data.sets import load_data_set
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.program import read_program
from nesy_gedi.resources import resource

BATCH = 64  # pairs of images


def main(steps: int) -> None:
    """Train on random pairs of the training images, and test on single test images."""
    torch.manual_seed(0)
    digits = load_data_set("mnist", None)
    images, labels = digits.train_images.float() / 255, digits.train_labels
    network = nn.Sequential(  # any network whose outputs are class scores
        nn.Conv2d(1, 16, 5, stride=2), nn.ReLU(), nn.Conv2d(16, 32, 5, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * 4 * 4, 10),
    )  # fmt: skip

    constraint = ConstraintCircuit(read_program(resource("programs", "labelled_addition.pl")))
    number = torch.tensor([constraint.answer_index([total]) for total in range(19)])
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    for step in range(1, steps + 1):
        pairs = torch.randint(len(images), (BATCH, 2))
        sums = labels[pairs].sum(1)  # all that is known of a pair
        log_posteriors = network(images[pairs].flatten(0, 1)).log_softmax(1).view(BATCH, 2, 10)
        loss = -constraint(log_posteriors, answers=number[sums]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0 or step == steps:
            print(f"step {step:4d}: -log P(sum | images) = {loss.item():.3f} nats")

    with torch.no_grad():
        read = network(digits.test_images.float() / 255).argmax(1)
    pairs = torch.arange(len(read)).view(-1, 2)
    right = read[pairs].sum(1) == digits.test_labels[pairs].sum(1)
    print(f"{len(read)} test images: accuracy {(read == digits.test_labels).float().mean():.3f}")
    print(f"{len(pairs)} pairs of them: {right.float().mean():.3f} with the right sum")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400, help="updates, of 64 pairs each")
    main(parser.parse_args().steps)
