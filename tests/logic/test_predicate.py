"""Networks as DeepProbLog predicates, and DeepProbLog itself as a witness for circuits."""

import subprocess
import sys

import pytest
import torch
from problog.logic import Constant, Term
from small_programs import ADD, DIGITS, LESS, LETTERS, circuit_of, program_of, random_log_probs, shipped
from torch import nn

from nesy_gedi.data.mnist import load_mnist
from nesy_gedi.errors import UserError
from nesy_gedi.gedi.checkpoint import WEIGHTS, load_network, save_network
from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig
from nesy_gedi.logic.predicate import DeepProbLogConstraint, Query, as_predicate, deepproblog_model
from nesy_gedi.resources import resource

PATH = resource("programs", "addition.pl")
CIRCUIT = shipped("addition")
DEEPPROBLOG = DeepProbLogConstraint(CIRCUIT.program)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return load_mnist(tmp_path_factory.mktemp("data"), explicit=False).test_images[::100].float() / 255


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


def test_circuit_equals_deepproblog_in_value_and_gradient():
    generator = torch.Generator().manual_seed(0)
    table = (2 * torch.randn(9, 10, generator=generator, dtype=torch.float64)).requires_grad_()
    images = torch.tensor([[0, 1, 2], [3, 3, 4], [5, 6, 7], [8, 6, 8]])
    results = []
    for constraint in (CIRCUIT, DEEPPROBLOG):
        value = constraint(table.log_softmax(-1)[images], images=images)
        results.append((value, torch.autograd.grad(value.sum(), table)[0]))
    torch.testing.assert_close(results[0][0], results[1][0], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(results[0][1], results[1][1], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        ADD,
        DIGITS + "query(p([X, Y], B)).\np([X|Xs], B) :- digit(X, A), q(Xs, A, B).\n"
        "q([Y], A, B) :- digit(Y, C), A < C, B = less.\n"
        "q([Y], A, B) :- digit(Y, C), A >= C, B = f(\"more\", 1).",
        DIGITS + "0.3 :: lost.\np(X, Y, S) :- digit(X, A), \\+ lost, digit(Y, B), S is A * B.\n"
        "p(_, _, 0) :- lost.",
        LESS + "\nsupport(0, 1).",
    ],
)  # fmt: skip
def test_labels_lists_and_probabilities_equal_deepproblog(text):
    """Every answer in one batch, by name; of the third program also where one image stands in two slots."""
    circuit = circuit_of(text)
    theirs = DeepProbLogConstraint(circuit.program, circuit.compiled.answers)
    count = max(2, len(circuit.answers))
    log_probs, answers = random_log_probs(1, count, 2, 4), torch.arange(count)
    kept = answers if circuit.answers else None
    value = circuit({"net": log_probs}, answers=kept)
    torch.testing.assert_close(theirs({"net": log_probs}, answers), value, atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(theirs(log_probs, answers=answers), value, atol=1e-8, rtol=1e-8)
    if "lost" in text:
        images = torch.tensor([[0, 0], [1, 2]] * count)[:count]
        same = circuit(log_probs, images, answers)
        torch.testing.assert_close(theirs(log_probs, answers, images), same, atol=1e-8, rtol=1e-8)
        assert same.isneginf().any()


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


def test_a_saved_network_answers_in_a_program_of_ones_own(tmp_path, digits):
    """The three lines of the README."""
    torch.manual_seed(0)
    network = GEDINetwork(NetworkConfig(width=4, classes=10)).eval()
    save_network(network, tmp_path / WEIGHTS, {})
    path = tmp_path / "my.pl"
    path.write_text(
        "nn(mnist_net, [X], Y, [0,1,2,3,4,5,6,7,8,9]) :: digit(X, Y).\n"
        "larger(X, Y) :- digit(X, A), digit(Y, B), A > B."
    )
    model = deepproblog_model(path, as_predicate(load_network(tmp_path), "mnist_net"), digits)
    pair = [Term("tensor", Term("images", Constant(i))) for i in (3, 5)]
    (result,) = model.solve([Query(Term("larger", *pair))])
    (probability,) = result.result.values()
    p, q = network.posterior(digits[[3, 5]]).detach()
    assert float(probability) == pytest.approx(torch.tril(torch.outer(p, q), -1).sum().item(), abs=1e-6)


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
    gradient = torch.autograd.grad(value.sum(), log_probs)[0]
    assert not gradient[1].isnan().any()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (LESS + "\nevidence(digit(i, 1)).", "evidence, which DeepProbLog ignores"),
        (LESS.replace("A < B", "A < B, \\+ n") + "\nt(0.2) :: n.", "learnable probabilities"),
        (DIGITS + LETTERS + "p(X, Y) :- digit(X, 1), letter(Y, a).", "more than one network"),
        ("nn(net, [X]) :: sun(X).\np(X) :- sun(X).", "a neural fact"),
        ("nn(net, [X, Y], C, [a, b]) :: near(X, Y, C).\np(X, Y) :- near(X, Y, a).",
         "a network over several images"),
    ],
)  # fmt: skip
def test_what_deepproblog_would_get_wrong_is_refused(text, reason):
    with pytest.raises(UserError, match=rf"^mine.pl has {reason}.*: use the engine circuit"):
        DeepProbLogConstraint(program_of(text))


def test_images_of_the_program_are_refused():
    circuit = circuit_of(DIGITS + "p(X) :- digit(X, A), digit(a, A).")
    with pytest.raises(UserError, match=r"p\(X\) in mine.pl has 1 images, but 2 distributions"):
        DeepProbLogConstraint(circuit.program)(random_log_probs(0, 3, 2, 4))


def test_wrong_networks_are_refused():
    with pytest.raises(UserError, match=r"Linear has no method posterior\(images\)"):
        as_predicate(nn.Linear(2, 2))


def test_import_is_silent():
    code = "import warnings; warnings.simplefilter('always'); import nesy_gedi.logic.predicate"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "ApproximateEngine" not in done.stderr
