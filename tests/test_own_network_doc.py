"""docs/own-network.md: its code, run as it stands, on digits."""

import page_commands
import torch
from tiny_training import digits

from nesy_gedi.gedi.checkpoint import WEIGHTS, save_network
from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig

PAGE = "own-network.md"


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
    training, terms, trained = page_commands.blocks(PAGE, "python")
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
