import copy
import dataclasses

import pytest
import torch
from small_constraints import (
    CLASSES,
    SUMS,
    Sum,
    Watched,
    config_of,
    data_of,
    labelled_pairs,
    sums_of_patterns,
)

from nesy_gedi.data.augment import Augmentation
from nesy_gedi.errors import UserError
from nesy_gedi.gedi.config import NamingConfig
from nesy_gedi.gedi.methods import Method
from nesy_gedi.gedi.stability import DivergedError, StabilityConfig
from nesy_gedi.gedi.trainer import Trainer, TrainingData


def weights_after(config, data, seed):
    trainer = Trainer(config, data, seed)
    for _ in trainer.run():
        pass
    return trainer.network.state_dict()


def equal(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_seed_decides_every_bit(optimizer):
    config = config_of(optimizer=optimizer, augmentation=Augmentation(degrees=10.0, noise_std=0.1))
    torch.manual_seed(1)
    first = weights_after(config, data_of(), seed=7)
    torch.manual_seed(2)  # whatever the global generator is up to
    state = torch.get_rng_state()
    assert equal(first, weights_after(config, data_of(), seed=7))
    assert torch.equal(torch.get_rng_state(), state)  # nor is it moved
    for name, value in weights_after(config, data_of(), seed=8).items():
        assert not torch.equal(first[name], value)


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
@pytest.mark.parametrize("seed", range(2))
def test_learns_to_read_patterns_from_sums(optimizer, seed):
    images, examples, digits = sums_of_patterns(240)
    log_prior = torch.tensor(SUMS).flatten().bincount().div(3 * len(SUMS)).log()
    config = config_of(
        method=Method({"gen": 0.1, "inv": 5.0, "prior": 40.0, "nesy": 5.0}, "entropy"),
        network=dataclasses.replace(config_of().network, temperature=0.2),
        naming=NamingConfig(searches=6, until=0.8, gain=0.02, largest_cluster=0.6),
        augmentation=Augmentation(noise_std=0.15),
        epochs=12,
        schedule="cosine",
        optimizer=optimizer,
    )
    trainer = Trainer(config, TrainingData(images, examples, Sum(240), log_prior), seed)
    before = trainer.clusters()
    metrics = list(trainer.run())
    first, last = metrics[0].terms, metrics[-1].terms
    assert last["nesy"] < 0.1 < 1.0 < first["nesy"]  # optimum 0
    assert last["inv"] < 0.2 * first["inv"]  # optimum 0
    assert last["prior"] < -1.3  # optimum -ln 4 = -1.386
    assert metrics[-1].satisfied > 0.98
    assert (before == digits).float().mean() < 0.5
    assert (trainer.clusters() == digits).float().mean() > 0.98


def test_learns_to_read_patterns_from_labelled_pairs():
    """Every label is that of its own example, in whatever order the examples come."""
    data, digits = labelled_pairs(240)
    config = config_of(
        method=Method({"inv": 5.0, "prior": 10.0, "nesy": 5.0}, "entropy"),
        naming=NamingConfig(searches=6, until=0.8, gain=0.02, largest_cluster=0.6),
        epochs=12,
        schedule="cosine",
    )
    trainer = Trainer(config, data, seed=0)
    *_, last = trainer.run()
    assert last.terms["nesy"] < 0.1
    assert last.satisfied > 0.98
    assert (trainer.clusters() == digits).float().mean() > 0.98


def test_without_a_constraint_clusters_are_found_but_not_named():
    images, examples, digits = sums_of_patterns(240)
    data = TrainingData(images, examples.view(-1, 1))
    config = config_of(
        method=Method({"inv": 10.0, "prior": 25.0}),
        augmentation=Augmentation(noise_std=0.1),
        epochs=10,
        batch_size=30,
    )
    trainer = Trainer(config, data, seed=0)
    metrics = list(trainer.run())
    assert set(metrics[-1].terms) == {"inv", "prior"}
    assert metrics[-1].terms["inv"] < 0.2 * metrics[0].terms["inv"]
    assert all((m.satisfied, m.renamed) == (None, False) for m in metrics)
    clusters, digits = trainer.clusters().flatten(), digits.flatten()
    for pattern in range(CLASSES):  # every pattern is nearly all in one cluster
        found = clusters[digits == pattern].bincount()
        assert found.max() > 0.95 * found.sum()


def test_term_that_is_not_finite_stops_the_run_with_step_and_term_named():
    config = config_of(batch_size=30, stability=StabilityConfig(rollbacks=0))
    trainer = Trainer(config, data_of(30, Watched(30, broken_from=5)), seed=0)
    epochs = trainer.run()
    assert next(epochs).epoch == 1
    before = None
    with pytest.raises(DivergedError, match=r"ran away at step 5: nesy is nan; lower learning_rate"):
        before = copy.deepcopy(trainer.network.state_dict()), next(epochs)
    assert before is None
    assert trainer.step == 4
    assert all(value.isfinite().all() for value in trainer.network.state_dict().values())


def test_huge_learning_rate_stops_the_run():
    network = dataclasses.replace(config_of().network, temperature=0.0)
    config = config_of(network=network, learning_rate=1e30, method=Method({"gen": 1.0}))
    with pytest.raises(DivergedError, match=r"step 2 after 3 rollbacks: gen is (nan|-?inf|-?\d.*nats)"):
        list(Trainer(config, data_of(), seed=0).run())


def test_method_with_nesy_wants_a_constraint():
    images, examples, _ = sums_of_patterns(5)
    with pytest.raises(UserError, match="weight for nesy, but there is no program"):
        Trainer(config_of(), TrainingData(images, examples), seed=0)
    Trainer(config_of(method=Method({"prior": 1.0})), TrainingData(images, examples), seed=0)


def test_metrics_are_consistent():
    data = data_of(30)
    naming = NamingConfig(searches=5, until=0.5, gain=0.02, largest_cluster=0.99)
    trainer = Trainer(config_of(epochs=5, naming=naming), data, seed=0)
    counted = []
    for number, metrics in enumerate(trainer.run(), start=1):
        assert metrics.epoch == number
        assert metrics.seconds > 0
        assert metrics.images_per_second * metrics.seconds == pytest.approx(90)
        assert set(metrics.terms) == {"gen", "inv", "prior", "nesy"}
        if metrics.satisfied is not None:
            counted.append(number)
        if number == 5:
            clusters = trainer.clusters()
            share = sum(tuple(row) in SUMS for row in clusters.tolist()) / 30
            assert metrics.satisfied == pytest.approx(share)
    assert counted == [1, 2, 5]  # 3 is beyond half of the training; the last is always counted


def test_clusters_are_the_most_likely_classes_of_the_plain_images():
    images, examples, _ = sums_of_patterns(400)  # several chunks
    data = TrainingData(images, examples, Sum(400))
    trainer = Trainer(config_of(augmentation=Augmentation(noise_std=0.5)), data, seed=0)
    with torch.no_grad():
        expected = trainer.network(images.float() / 255).argmax(1)[examples]
    assert torch.equal(trainer.clusters(), expected)
    assert len(expected.unique()) == CLASSES


def test_training_data_has_no_place_for_labels():
    names = {field.name for field in dataclasses.fields(TrainingData)}
    assert names == {"images", "examples", "constraint", "log_prior"}
