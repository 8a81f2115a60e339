"""DeepProbLog's networks before our circuit: DeepProbLog's own answers are the measure."""

from pathlib import Path

import pytest
import torch
from problog.logic import Constant, Term
from small_programs import circuit_of, shipped
from torch import Tensor, nn

from nesy_gedi.errors import UserError
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.predicate import Network, Query, as_predicate, deepproblog_model, from_network

ADD = """nn(net, [X], Y, [0, 1, 2, 3]) :: digit(X, Y).
add(X, Y, Z) :- digit(X, A), digit(Y, B), digit(Z, C), C is A + B."""
NEAR = """nn(net, [X, Y], C, [a, b, c]) :: near(X, Y, C).
p(X, Y, Z) :- near(X, Y, a), near(Y, Z, b).
p(X, Y, Z) :- near(X, Y, C), near(Y, Z, C), C = c."""
SUN = """nn(net, [X]) :: sun(X).
p(X, Y) :- sun(X), \\+ sun(Y)."""
ROWS = [(0, 1, 2), (3, 3, 4), (5, 1, 5)]


class Pair(nn.Module):
    """A network with two arguments."""

    def __init__(self, classes: int, dim: int) -> None:
        super().__init__()
        self.bilinear, self.dim = nn.Bilinear(4, 4, classes), dim

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.bilinear(first, second).softmax(self.dim)


def layers(outputs: int, last: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Dropout(0.5), nn.Linear(5, outputs), last)


CASES = {
    "classes": (ADD, lambda dim: layers(4, nn.Softmax(dim)), ROWS),
    "pairs": (NEAR, lambda dim: Pair(3, dim), ROWS),
    "facts": (SUN, lambda _: layers(1, nn.Sigmoid()), [row[1:] for row in ROWS]),
}


@pytest.fixture
def images() -> Tensor:
    return torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def their_answer(folder: Path, text: str, network: Network, images: Tensor, row: tuple[int, ...]) -> Tensor:
    path = folder / "theirs.pl"
    path.write_text(text)
    predicate = text.splitlines()[1].split("(")[0]
    terms = [Term("tensor", Term("images", Constant(i))) for i in row]
    (result,) = deepproblog_model(path, network, images).solve([Query(Term(predicate, *terms))])
    return torch.as_tensor(next(iter(result.result.values()), 0.0))  # a plain number if impossible


def our_answer(circuit: ConstraintCircuit, network: Network, images: Tensor, row: tuple[int, ...]) -> Tensor:
    inputs = circuit.networks["net"].slots  # which images each input of the network reads
    arguments = [images[[row[slot] for slot in column]][None] for column in zip(*inputs, strict=True)]
    return circuit(from_network(network)(*arguments), images=torch.tensor([row])).exp()[0]


def assert_equal(network: Network, ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-6)
    parameters = list(network.parameters())
    pairs = (torch.autograd.grad(value, parameters) for value in (ours, theirs))
    for one, other in zip(*pairs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-6)
        assert one.abs().max() > 0


@pytest.mark.parametrize("batching", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_deepproblogs(tmp_path, images, case: str, batching: bool) -> None:
    text, make, rows = CASES[case]
    torch.manual_seed(1)
    # over the first dimension a softmax is right of one input alone
    network = Network(make(1 if batching else 0).double(), "net", batching=batching)
    network.eval()
    for row in rows:
        ours = our_answer(circuit_of(text), network, images, row)
        assert_equal(network, ours, their_answer(tmp_path, text, network, images, row))


@pytest.mark.parametrize("k", [1, 2, 3, 4, 9])
def test_k_leaves_out_what_deepproblog_leaves_out(tmp_path, images, k: int) -> None:
    torch.manual_seed(2)
    network = Network(layers(4, nn.Softmax(-1)).double(), "net", k=k, batching=True)
    network.eval()
    kept = from_network(network)(images[:, None])[:, 0].isfinite().sum(1)
    assert set(kept.tolist()) == {min(k, 4)}
    found = []
    for row in ROWS if k <= 4 else []:  # DeepProbLog's own fails with more than there are
        ours = our_answer(circuit_of(ADD), network, images, row)
        theirs = their_answer(tmp_path, ADD, network, images, row)
        found.append(ours.item())
        if theirs.requires_grad:
            assert_equal(network, ours, theirs)
        else:
            assert ours == theirs == 0
    assert (0 in found) == (k == 1)  # else there were too few, or only, impossible ones


def test_while_training_k_classes_are_drawn_by_their_probabilities() -> None:
    """Two without replacement: first class j, or first another and then j among the rest."""
    shares = torch.tensor([0.6, 0.3, 0.1])
    network = Network(nn.Sequential(nn.Softmax(-1)), "net", k=2, batching=True)
    network.train()
    torch.manual_seed(0)
    kept = from_network(network)(shares.log().expand(20_000, 1, 3))[:, 0]
    second = [sum(shares[i] * shares[j] / (1 - shares[i]) for i in range(3) if i != j) for j in range(3)]
    expected = shares + torch.tensor(second)
    torch.testing.assert_close(kept.isfinite().float().mean(0), expected, atol=0.015, rtol=0)
    assert kept[kept.isfinite()].unique().exp().tolist() == pytest.approx([0.1, 0.3, 0.6])  # not renormalised


def test_eval_and_parameters_are_shared(images) -> None:
    network = Network(layers(4, nn.Softmax(-1)).double(), "net", k=1, batching=True)
    module = from_network(network)
    assert [id(p) for p in module.parameters()] == [id(p) for p in network.parameters()]
    network.eval()
    assert torch.equal(module(images[:, None]), module(images[:, None]))  # no dropout, no drawing
    module.train()
    assert not network.eval_mode
    assert network.network_module.training
    module.eval()
    assert network.eval_mode
    assert not network.network_module.training


def test_a_function_of_ones_own_is_applied_first(images) -> None:
    network = Network(layers(4, nn.Softmax(-1)).double(), "net", batching=True)
    network.eval()
    expected = from_network(network)(2 * images.view(2, 3, 4))
    network.function = lambda number: (2 * images[int(number)],)
    torch.testing.assert_close(from_network(network)(torch.arange(6).view(2, 3)), expected)
    assert expected.shape == (2, 3, 4)


def test_there_and_back(images) -> None:
    """Our network as theirs, and theirs as ours again."""

    class Ours(nn.Module):
        def posterior(self, rows: Tensor) -> Tensor:
            return (rows @ torch.ones(4, 10, dtype=torch.float64) + torch.arange(10)).softmax(1)

    log_probs = from_network(as_predicate(Ours()))(images.view(2, 3, 4))
    torch.testing.assert_close(log_probs, Ours().posterior(images).log().view(2, 3, 10))
    assert shipped("addition")(log_probs).shape == (2,)


def test_impossible_classes_have_no_gradient() -> None:
    weight = torch.tensor([[[0.25, 0.0, 0.75, 0.0]] * 3], requires_grad=True)
    network = Network(nn.Identity(), "net", batching=True)
    value = circuit_of(ADD)(from_network(network)(weight))
    # 0 + 0 = 0, 0 + 2 = 2, 2 + 0 = 2
    assert value.exp().item() == pytest.approx(0.25**3 + 2 * 0.25 * 0.75**2)
    (gradient,) = torch.autograd.grad(value.sum(), weight)
    assert gradient.isfinite().all()
    assert gradient[..., 1::2].abs().max() == 0


def test_what_gives_no_probabilities_is_refused(images) -> None:
    for last in (nn.Identity(), nn.LogSoftmax(-1)):
        network = Network(layers(4, last).double(), "net", batching=True)
        with pytest.raises(UserError, match=r"net gives -\d.* to .*no probabilities: .* softmax"):
            from_network(network)(10 * images[:, None])
    network.det = True
    with pytest.raises(UserError, match="net gives tensors, not probabilities"):
        from_network(network)
