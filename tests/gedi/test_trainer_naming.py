import dataclasses

import pytest
import torch
from small_constraints import CLASSES, SUMS, LabelledSum, Sum, config_of
from torch import nn

from nesy_gedi.gedi.config import NamingConfig
from nesy_gedi.gedi.methods import Method
from nesy_gedi.gedi.networks import NetworkConfig
from nesy_gedi.gedi.trainer import Trainer, TrainingData


class NoisySum(Sum):
    """The sum for certain, else anything with probability 0.3."""

    def satisfied(self, readings, rows):
        return super().satisfied(readings, rows).clamp_min(0.3)


class Exactly(Sum):
    """The classes are these."""

    def __init__(self, classes):
        super().__init__(1)
        self.classes = torch.tensor(classes)

    def satisfied(self, readings, rows):
        return (readings == self.classes).all(1).double()


def pixel_reader(names, rows=None, constraint=None, constant=None, optimizer="adam", **naming):
    """A trainer whose network reads the brightest of four pixels, calls k names[k], and hardly learns.

    Args:
        names: what the network calls the pixels.
        rows: the examples; by default sums, each three times.
        constraint: of the examples; by default that they are sums.
        constant: a class that it gives to every image instead, if not None.
        optimizer: its name.
        naming: changes of the settings.
    """
    images = torch.zeros(CLASSES, 1, 2, 2, dtype=torch.uint8)
    images.flatten(1)[range(CLASSES), range(CLASSES)] = 255
    rows = torch.tensor(SUMS * 3) if rows is None else torch.tensor(rows)
    constraint = Sum(len(rows)) if constraint is None else constraint
    network = NetworkConfig("mlp", CLASSES, 1, 2, 2, CLASSES, temperature=0.0, initialisation="torch")
    defaults = {"searches": 3, "until": 1.0, "gain": 0.02, "largest_cluster": 0.5}
    config = config_of(
        network=network, naming=NamingConfig(**(defaults | naming)), method=Method({"nesy": 1.0}), views=1,
        learning_rate=1e-12, muon_learning_rate=1e-12, weight_decay=0.0, epochs=3, optimizer=optimizer,
    )  # fmt: skip
    trainer = Trainer(config, TrainingData(images, rows, constraint), seed=0)
    with torch.no_grad():
        for layer in trainer.network.modules():
            if isinstance(layer, nn.Linear):
                layer.weight.copy_(torch.eye(CLASSES))
                layer.bias.zero_()
        trainer.network.last_layer.weight.copy_(torch.eye(CLASSES)[torch.tensor(names).argsort()])
        if constant is not None:
            trainer.network.last_layer.bias[constant] = 100.0
    return trainer, rows


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_clusters_are_renamed_when_that_satisfies_more_examples(optimizer):
    trainer, rows = pixel_reader([2, 0, 3, 1], optimizer=optimizer)
    assert torch.equal(trainer.clusters(), torch.tensor([2, 0, 3, 1])[rows])
    first, second, third = trainer.run()
    readings = torch.tensor([2, 0, 3, 1])[rows]
    assert first.satisfied == pytest.approx(sum(tuple(r) in SUMS for r in readings.tolist()) / len(rows))
    assert first.satisfied < 0.5
    assert [m.renamed for m in (first, second, third)] == [True, False, False]
    assert (second.satisfied, third.satisfied) == pytest.approx((1.0, 1.0))
    assert second.terms["nesy"] < first.terms["nesy"]
    assert torch.equal(trainer.clusters(), rows)


def test_every_kind_of_label_is_judged_by_itself():
    """All pairs with their sums; and the pair of zeros with two wrong labels more, which no names mend."""
    pairs = [(a, b) for a in range(CLASSES) for b in range(CLASSES)]
    totals = torch.tensor([a + b for a, b in pairs] + [5, 6])
    names = [2, 0, 3, 1]
    trainer, rows = pixel_reader(names, [*pairs, (0, 0), (0, 0)], LabelledSum(totals))
    read = torch.tensor(names)[rows].sum(1)
    before = (read == totals).double().mean().item()
    assert 0 < before < 0.5
    metrics = list(trainer.run())
    assert [m.satisfied for m in metrics] == pytest.approx([before, 16 / 18, 16 / 18])
    assert [m.renamed for m in metrics] == [True, False, False]
    assert torch.equal(trainer.clusters(), rows)


def test_probabilities_of_examples_count_in_shares():
    """Sums hold for certain, anything else with probability 0.3, as under a program with noise."""
    noisy = NoisySum(3 * len(SUMS))
    names = [0, 1, 3, 2]
    trainer, rows = pixel_reader(names, constraint=noisy)
    right = sum((names[a], names[b], names[c]) in SUMS for a, b, c in SUMS) / len(SUMS)
    assert 0 < right < 1
    metrics = list(trainer.run())
    assert [m.satisfied for m in metrics] == pytest.approx([right + 0.3 * (1 - right), 1.0, 1.0])
    assert [m.renamed for m in metrics] == [True, False, False]
    assert torch.equal(trainer.clusters(), rows)


def test_as_many_climbs_as_are_asked_for():
    """Only one order of names is right, and no swap leads towards it: a climb has to start there."""
    for starts, renamed in ((1, False), (200, True)):
        trainer, rows = pixel_reader([1, 2, 0, 3], [[0, 1, 2]], Exactly((0, 1, 2)), starts=starts)
        metrics = next(trainer.run())
        assert metrics.satisfied == 0.0
        assert metrics.renamed is renamed
        assert torch.equal(trainer.clusters(), rows) is renamed


def test_moments_move_with_the_names():
    """The same step with and without a search after it: the averages of a row are now another row's."""
    names = [2, 0, 3, 1]
    moments = []
    for searches in (3, 0):
        trainer, _ = pixel_reader(names)
        trainer.config = dataclasses.replace(
            trainer.config, naming=dataclasses.replace(trainer.config.naming, searches=searches)
        )
        assert next(trainer.run()).renamed is bool(searches)
        moments.append(trainer.optimizers[0].state[trainer.network.last_layer.weight]["exp_avg"])
    renamed, plain = moments
    assert not torch.equal(renamed, plain)
    # row names[k] was what fired for pixel k, now row k is
    torch.testing.assert_close(renamed, plain[torch.tensor(names)])


def test_nothing_is_renamed_while_one_cluster_dominates():
    """All in cluster 3: called 0, they would satisfy every example."""
    for largest_cluster, renamed in ((0.5, False), (1.0, True)):
        trainer, _ = pixel_reader([0, 1, 2, 3], constant=3, largest_cluster=largest_cluster)
        metrics = next(trainer.run())
        assert metrics.satisfied == 0.0
        assert metrics.largest_cluster == 1.0
        assert metrics.renamed is renamed
        assert (trainer.clusters() == (0 if renamed else 3)).all()


def test_nothing_is_renamed_for_too_small_a_gain():
    """Two of three examples never hold, so that the right names gain little of what is not satisfied."""
    for gain, renamed in ((0.5, False), (0.001, True)):
        trainer, _ = pixel_reader([0, 1, 3, 2], gain=gain)
        constraint = trainer.constraint
        constraint.kinds = torch.arange(len(trainer.examples))
        judge = constraint.satisfied
        constraint.satisfied = lambda readings, rows, judge=judge: judge(readings, rows) * (rows % 3 == 0)
        assert [m.renamed for m in trainer.run()] == [renamed, False, False]


def test_a_quarter_of_what_is_not_satisfied_is_gain_enough():
    """Late in training two swapped names may cost less than ``gain``: here all that is left."""
    trainer, _ = pixel_reader([0, 1, 3, 2], gain=1.0)
    assert [m.renamed for m in trainer.run()] == [True, False, False]
    naming = NamingConfig(gain=0.02)
    assert [naming.least_gain(share) for share in (0.0, 0.9, 0.96, 1.0)] == pytest.approx(
        [0.02, 0.02, 0.01, 0]
    )


def test_without_weight_the_constraint_only_counts():
    """Without nesy names are left alone; the end of the training tells all the same how many hold."""
    trainer, rows = pixel_reader([2, 0, 3, 1])
    trainer.config = dataclasses.replace(trainer.config, method=Method({"prior": 1.0}))
    metrics = list(trainer.run())
    readings = torch.tensor([2, 0, 3, 1])[rows].tolist()
    share = sum(tuple(r) in SUMS for r in readings) / len(rows)
    assert [m.satisfied for m in metrics] == [None, None, pytest.approx(share)]
    assert not any(m.renamed for m in metrics)


def test_last_epoch_is_not_renamed():
    trainer, _ = pixel_reader([2, 0, 3, 1])
    trainer.config = dataclasses.replace(trainer.config, epochs=1)
    (metrics,) = trainer.run()
    assert metrics.satisfied < 0.5
    assert not metrics.renamed
