"""DeepProbLog both ways: its network trained by our circuit, and a trained network asked by its programs."""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from problog.logic import Constant, Term
from torch import Tensor, nn

from nesy_gedi.data.sets import load_data_set
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.predicate import Model, Network, Query, as_predicate, deepproblog_model, from_network
from nesy_gedi.logic.program import read_program
from nesy_gedi.resources import resource

BATCH, ASKED = 64, 50  # pairs of images
LARGER = """nn(mnist_net, [X], Y, [0,1,2,3,4,5,6,7,8,9]) :: digit(X, Y).
0.9 :: awake.
larger(X, Y) :- awake, digit(X, A), digit(Y, B), A > B.
"""


class Reader(nn.Module):
    """Images ``(batch, 1, 28, 28)`` to probabilities ``(batch, 10)``, as DeepProbLog's networks give them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 5, stride=2), nn.ReLU(), nn.Conv2d(16, 32, 5, stride=2), nn.ReLU(),
            nn.Flatten(), nn.Linear(32 * 4 * 4, 10), nn.Softmax(1),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities of the digits."""
        return self.layers(images)

    posterior = forward  # what as_predicate asks for; nesy-gedi's own networks have it


def train(module: nn.Module, circuit: ConstraintCircuit, images: Tensor, labels: Tensor, steps: int) -> None:
    """Learn to read single digits from the sums of random pairs."""
    number = torch.tensor([circuit.answer_index([total]) for total in range(19)])
    optimizer = torch.optim.Adam(module.parameters(), lr=2e-3)
    for _ in range(steps):
        pairs = torch.randint(len(images), (BATCH, 2))
        loss = -circuit(module(images[pairs]), answers=number[labels[pairs].sum(1)]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def ask(model: Model, predicate: str, pairs: Tensor) -> Tensor:
    """DeepProbLog's probability of ``predicate(X, Y)`` for pairs of images ``(n, 2)``: ``(n,)``."""
    terms = [[Term("tensor", Term("images", Constant(i))) for i in pair] for pair in pairs.tolist()]
    answers = model.solve([Query(Term(predicate, *pair)) for pair in terms])
    return torch.tensor([float(next(iter(answer.result.values()))) for answer in answers])


def main(steps: int) -> None:
    """From DeepProbLog to the circuit, and back."""
    torch.manual_seed(0)
    digits = load_data_set("mnist", None)
    images, truth = digits.test_images.float() / 255, digits.test_labels

    # from DeepProbLog: a Network of its own learns from a program of ours, a batch at a time
    reader = Reader()
    network = Network(reader, "mnist_net", batching=True)
    module = from_network(network)
    sums = ConstraintCircuit(read_program(resource("programs", "labelled_addition.pl")))
    train(module, sums, digits.train_images.float() / 255, digits.train_labels, steps)
    network.eval()
    with torch.no_grad():
        read = module(images.unsqueeze(1))[:, 0].argmax(1)
    print(f"trained by the circuit: accuracy {(read == truth).float().mean():.3f} on {len(read)} test images")

    # to DeepProbLog: whatever has a posterior, such as load_network("runs/my-run"), in any of its programs
    pairs = torch.randint(len(images), (ASKED, 2))
    with TemporaryDirectory() as folder, torch.no_grad():
        path = Path(folder, "larger.pl")
        path.write_text(LARGER)
        theirs = ask(deepproblog_model(path, as_predicate(reader, "mnist_net"), images), "larger", pairs)
        ours = ConstraintCircuit(read_program(path))(module(images[pairs])).exp()
    first, second = truth[pairs].unbind(1)
    right = ((theirs > 0.45) == (first > second)).sum()
    print(f"asked by DeepProbLog's own program: {right} of {ASKED} pairs told apart")
    print(f"the same probabilities by the circuit: largest difference {(ours - theirs).abs().max():.1e}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400, help="updates, of 64 pairs each")
    main(parser.parse_args().steps)
