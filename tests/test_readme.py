"""What the README promises in code, run as it stands there."""

import re
from pathlib import Path

import torch
from problog.logic import Constant, Term

from nesy_gedi.data.mnist import load_mnist
from nesy_gedi.gedi.checkpoint import WEIGHTS, save_network
from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig
from nesy_gedi.logic.predicate import Query

README = Path(__file__).parents[1] / "README.md"

LARGER = """nn(mnist_net, [X], Y, [0,1,2,3,4,5,6,7,8,9]) :: digit(X, Y).
larger(X, Y) :- digit(X, A), digit(Y, B), A > B.
"""


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_three_lines_put_a_run_into_another_program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.pl").write_text(LARGER)
    run = tmp_path / "runs" / "my-run"
    run.mkdir(parents=True)
    network = GEDINetwork(NetworkConfig(width=4))
    save_network(network, run / WEIGHTS, {})
    images = load_mnist(tmp_path, explicit=False).test_images[:2].float() / 255
    names = {"images": images}
    block = next(block for block in blocks() if "deepproblog_model" in block)
    assert len([line for line in block.splitlines() if line]) == 3
    exec(block, names)
    pair = [Term("tensor", Term("images", Constant(i))) for i in (0, 1)]
    (result,) = names["model"].solve([Query(Term("larger", *pair))])
    (probability,) = result.result.values()
    first, second = network.eval().posterior(images)
    above = torch.ones(10, 10).tril(-1).bool()
    torch.testing.assert_close(probability, torch.outer(first, second)[above].sum())


def test_the_constraint_by_itself(monkeypatch):
    monkeypatch.chdir(README.parent)
    block = next(block for block in blocks() if "ConstraintCircuit" in block)
    names = {"log_posteriors": torch.full((4, 3, 10), 0.1).log()}
    exec(block, names)
    torch.testing.assert_close(names["log_p"], torch.full((4,), 0.08).log())  # 8 of 100 pairs sum to 7
    assert names["labelled"].answers == tuple(map(str, range(19)))
    first, second, third = names["believed"].T
    assert torch.equal(first + second, third)
    shares = torch.tensor([(21 - k) / 165 for k in range(10)])
    torch.testing.assert_close(names["posterior"].mean(1), shares.expand(4, 10))
    torch.testing.assert_close(names["constraint"](names["log_posteriors"]), torch.full((4,), 0.055).log())
