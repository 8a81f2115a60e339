"""docs/own-network.md: its code, run as it stands, on digits."""

import page_commands
import torch
from problog.logic import Constant, Term
from tiny_training import digits

from nesy_gedi.data.mnist import load_mnist
from nesy_gedi.gedi.checkpoint import WEIGHTS, save_network
from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig
from nesy_gedi.logic.predicate import Query

PAGE = "own-network.md"
LARGER = """nn(mnist_net, [X], Y, [0,1,2,3,4,5,6,7,8,9]) :: digit(X, Y).
larger(X, Y) :- digit(X, A), digit(Y, B), A > B.
"""


def test_the_code_runs_and_learns_differences(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in page_commands.files(PAGE).items():
        (tmp_path / name).write_text(content)
    images = digits()
    generator = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(60):
        rows = torch.randint(0, len(images.train_images), (64, 2), generator=generator)
        labels = images.train_labels[rows]
        batches.append((images.train_images[rows].float() / 255, labels[:, 0] - labels[:, 1]))
    torch.manual_seed(0)
    training, _, terms, trained, _, _ = page_commands.blocks(PAGE, "python")
    names = {"batches": batches}
    exec(training, names)
    pairs, labels = batches[0]
    first, second = names["network"](pairs.flatten(0, 1)).unflatten(0, (-1, 2)).softmax(2).unbind(1)
    # the probability of the label is the sum over the digits with that difference, and grew in training
    joint = torch.einsum("na,nb->nab", first, second)
    differences = torch.arange(10)[:, None] - torch.arange(10)
    by_hand = (joint * (differences == labels[:, None, None])).sum((1, 2))
    assert by_hand.log().mean() > -1.5  # chance is below -2.5
    answers = torch.tensor([names["constraint"].answer_index([label]) for label in labels.tolist()])
    log_p = names["constraint"](torch.stack([first, second], 1).log(), answers=answers)
    torch.testing.assert_close(log_p, by_hand.log())
    exec(terms, names)
    assert names["loss"] > 25 * torch.tensor(10.0).log()  # both terms are above their optima

    (tmp_path / "runs" / "my-run").mkdir(parents=True)
    network = GEDINetwork(NetworkConfig(width=4))
    save_network(network, tmp_path / "runs" / "my-run" / WEIGHTS, {})
    exec(trained, names := {"images": pairs[:5, 0]})
    logits = network.eval()(pairs[:5, 0])
    torch.testing.assert_close(names["posterior"], logits.softmax(1))
    torch.testing.assert_close(names["energy"], -logits.logsumexp(1))
    assert names["features"].shape == (5, 4)


def test_three_lines_put_a_run_into_another_program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.pl").write_text(LARGER)
    run = tmp_path / "runs" / "my-run"
    run.mkdir(parents=True)
    network = GEDINetwork(NetworkConfig(width=4))
    save_network(network, run / WEIGHTS, {})
    images = load_mnist(tmp_path, explicit=False).test_images[:2].float() / 255
    names = {"images": images}
    block = next(block for block in page_commands.blocks(PAGE, "python") if "deepproblog_model" in block)
    assert len([line for line in block.splitlines() if line]) == 3
    exec(block, names)
    pair = [Term("tensor", Term("images", Constant(i))) for i in (0, 1)]
    (result,) = names["model"].solve([Query(Term("larger", *pair))])
    (probability,) = result.result.values()
    first, second = network.eval().posterior(images)
    above = torch.ones(10, 10).tril(-1).bool()
    torch.testing.assert_close(probability, torch.outer(first, second)[above].sum())


def test_the_constraint_by_itself(monkeypatch):
    monkeypatch.chdir(page_commands.DOCS.parent)
    block = next(block for block in page_commands.blocks(PAGE, "python") if "most_probable" in block)
    names = {"log_posteriors": torch.full((4, 3, 10), 0.1).log()}
    exec(block, names)
    torch.testing.assert_close(names["log_p"], torch.full((4,), 0.08).log())  # 8 of 100 pairs sum to 7
    assert names["labelled"].answers == tuple(map(str, range(19)))
    first, second, third = names["believed"].T
    assert torch.equal(first + second, third)
    shares = torch.tensor([(21 - k) / 165 for k in range(10)])
    torch.testing.assert_close(names["posterior"].mean(1), shares.expand(4, 10))
    torch.testing.assert_close(names["constraint"](names["log_posteriors"]), torch.full((4,), 0.055).log())


def test_the_estimator(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    block = next(block for block in page_commands.blocks(PAGE, "python") if "GEDIClusterer" in block)
    exec(block, names)
    assert names["shares"].argmax(1).tolist() == names["clusters"].tolist() == names["model"].labels_.tolist()
    assert (names["log_p"].shape, names["drawn"].shape) == ((200,), (10, 2))
