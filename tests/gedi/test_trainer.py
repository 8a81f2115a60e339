import copy
import dataclasses
import math
from itertools import product

import pytest
import torch
from torch import nn

from nesy_gedi.data.augment import Augmentation
from nesy_gedi.errors import UserError
from nesy_gedi.gedi.config import NamingConfig, TrainConfig
from nesy_gedi.gedi.methods import Method
from nesy_gedi.gedi.networks import NetworkConfig
from nesy_gedi.gedi.sampler import SamplerConfig, sample_step
from nesy_gedi.gedi.trainer import NotFiniteError, Trainer, TrainingData

CLASSES = 4
SUMS = [(a, b, a + b) for a, b in product(range(CLASSES), repeat=2) if a + b < CLASSES]
WORLDS = torch.zeros((CLASSES,) * 3, dtype=torch.bool)
WORLDS[tuple(torch.tensor(SUMS).T)] = True
NO_NAMING = NamingConfig(searches=0, until=1.0, gain=0.02, largest_cluster=0.5)
FULL = Method({"gen": 1.0, "inv": 2.0, "prior": 10.0, "nesy": 5.0}, "entropy")


class Sum(nn.Module):
    """The third class is the sum of the first two."""

    def forward(self, log_posterior):
        first, second, third = torch.tensor(SUMS).T
        worlds = log_posterior[:, 0, first] + log_posterior[:, 1, second] + log_posterior[:, 2, third]
        return worlds.logsumexp(1)


class Watched(Sum):
    """The sum, and a note of what was asked; from call ``broken_from`` on it is nan."""

    def __init__(self, broken_from=math.inf):
        super().__init__()
        self.asked, self.rates, self.trainer, self.broken_from = [], [], None, broken_from

    def forward(self, log_posterior):
        self.asked.append(log_posterior.detach().clone())
        if self.trainer is not None:
            assert self.trainer.network.training
            self.rates.append([o.param_groups[0]["lr"] for o in self.trainer.optimizers])
        return super().forward(log_posterior) * (math.nan if len(self.asked) >= self.broken_from else 1)


def sums_of_patterns(examples, seed=0, noise=0.15):
    """Noisy 8x8 images of four patterns, in triples that are sums; and the patterns' numbers."""
    generator = torch.Generator().manual_seed(seed)
    patterns = (torch.rand(CLASSES, 1, 8, 8, generator=generator) < 0.4).float()
    digits = torch.tensor(SUMS)[torch.randint(len(SUMS), (examples,), generator=generator)]
    clean = patterns[digits.flatten()]
    images = (0.8 * clean + noise * torch.randn(clean.shape, generator=generator)).clamp(0, 1)
    order = torch.randperm(len(images), generator=generator)
    positions = torch.empty_like(order)
    positions[order] = torch.arange(len(order))
    return (255 * images[order]).byte(), positions.view(-1, 3), digits


def data_of(examples=30, constraint=None, log_prior=None, worlds=WORLDS):
    images, rows, _ = sums_of_patterns(examples)
    return TrainingData(images, rows, Sum() if constraint is None else constraint, worlds, log_prior)


def config_of(**changes):
    network = {
        "encoder": "mlp",
        "width": 32,
        "channels": 1,
        "image_height": 8,
        "image_width": 8,
        "classes": CLASSES,
    }
    values = {
        "method": FULL,
        "network": NetworkConfig(**network, projector_hidden=0, temperature=0.1, initialisation="centred"),
        "sampler": SamplerConfig(10, 2, 0.1, 0.01, 100, 0.05),
        "augmentation": Augmentation(),
        "naming": NO_NAMING,
        "epochs": 2,
        "batch_size": 10,
        "views": 2,
        "learning_rate": 3e-3,
        "optimizer": "adam",
        "muon_learning_rate": 0.02,
        "weight_decay": 1e-3,
        "schedule": "constant",
        "prior_fade": 0.0,
        "constraint_from": 0.0,
    }
    return TrainConfig(**{**values, **changes})


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
    trainer = Trainer(config, TrainingData(images, examples, Sum(), WORLDS, log_prior), seed)
    before = trainer.clusters()
    metrics = list(trainer.run())
    first, last = metrics[0].terms, metrics[-1].terms
    assert last["nesy"] < 0.1 < 1.0 < first["nesy"]  # optimum 0
    assert last["inv"] < 0.2 * first["inv"]  # optimum 0
    assert last["prior"] < -1.3  # optimum -ln 4 = -1.386
    assert metrics[-1].satisfied > 0.98
    assert (before == digits).float().mean() < 0.5
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


def expected_terms(network, views, samples, log_prior):
    """The full method's terms, from the definitions."""
    logits = [network(view) for view in views]
    posteriors = [outputs.double().softmax(1) for outputs in logits]
    marginal = torch.cat(posteriors).mean(0)
    worlds = torch.cat(posteriors).view(-1, 3, CLASSES)
    likely = sum(worlds[:, 0, a] * worlds[:, 1, b] * worlds[:, 2, c] for a, b, c in SUMS)
    return {
        "gen": network(samples).exp().sum(1).log().mean() - torch.cat(logits).exp().sum(1).log().mean(),
        "inv": -(posteriors[-1] * posteriors[0].log()).sum(1).mean(),
        "prior": (marginal * (marginal.log() - log_prior)).sum() - math.log(CLASSES),
        "nesy": -likely.log().mean(),
    }


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("log_prior", [None, [0.4, 0.3, 0.2, 0.1]])
def test_terms_and_their_weighted_gradient_are_those_of_the_definitions(views, log_prior):
    log_prior = None if log_prior is None else torch.tensor(log_prior).log()
    data = data_of(30, log_prior=log_prior)
    weights = {**FULL.weights, "inv": FULL.weights["inv"] * (views == 2)}
    augmentation = Augmentation(degrees=10.0, noise_std=0.2)
    config = config_of(
        method=Method(weights, "entropy"), augmentation=augmentation, epochs=1, batch_size=30, views=views
    )
    trainer, twin = Trainer(config, data, seed=3), Trainer(config, data, seed=3)
    network = copy.deepcopy(trainer.network)
    order = torch.randperm(30, generator=twin.generator)
    images = data.images[data.examples[order].flatten()].float() / 255
    pictures = [augmentation(images, twin.generator) for _ in range(views)]
    samples = sample_step(twin.network, twin.buffer, config.sampler)
    prior = torch.full((CLASSES,), 1 / CLASSES).log() if log_prior is None else log_prior
    terms = expected_terms(network, pictures, samples, prior)

    (metrics,) = trainer.run()
    used = {term for term, weight in weights.items() if weight}
    assert set(metrics.terms) == used
    for term in used:
        assert metrics.terms[term] == pytest.approx(terms[term].item(), abs=1e-4)
    sum(weights[term] * terms[term] for term in used).backward()
    for wanted, parameter in zip(network.parameters(), trainer.network.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, wanted.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_steps_are_those_of_the_optimizer(name):
    """The gradients of every step, given to PyTorch's optimisers."""
    config = config_of(optimizer=name, epochs=5, batch_size=30, weight_decay=0.1)
    trainer = Trainer(config, data_of(30), seed=3)
    network = copy.deepcopy(trainer.network)
    hidden = network.encoder.hidden_weights() if name == "muon" else []
    others = [p for p in network.parameters() if all(p is not weight for weight in hidden)]
    optimizers = [torch.optim.Adam(others, lr=3e-3, betas=(0.9, 0.99), weight_decay=0.1)]
    if hidden:
        optimizers.append(torch.optim.Muon(hidden, lr=0.02, weight_decay=0.0))
    for _ in trainer.run():
        for parameter, stepped in zip(network.parameters(), trainer.network.parameters(), strict=True):
            parameter.grad = stepped.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
        for parameter, stepped in zip(network.parameters(), trainer.network.parameters(), strict=True):
            torch.testing.assert_close(stepped, parameter)


def test_learning_rate_rises_and_falls():
    for schedule in ("cosine", "constant"):
        constraint = Watched()
        config = config_of(method=Method({"nesy": 1.0}), schedule=schedule, epochs=10, batch_size=3, views=1)
        trainer = Trainer(config, data_of(30, constraint), seed=0)
        trainer.clusters()  # in evaluation mode
        constraint.trainer = trainer
        for _ in trainer.run():
            pass
        rates = torch.tensor(constraint.rates)[:, 0]
        assert len(rates) == 100
        if schedule == "constant":
            assert rates.unique().tolist() == pytest.approx([3e-3])
            continue
        assert rates[0] < 0.1 * 3e-3
        assert rates.max().item() == pytest.approx(3e-3)
        assert rates.argmax() == 10
        assert rates[-1] < 0.01 * 3e-3
        assert (rates[:11].diff() > 0).all()
        assert (rates[10:].diff() < 0).all()
        assert rates[55].item() == pytest.approx(1.5e-3)  # halfway down


def test_muon_moves_the_hidden_matrix_by_a_near_orthogonal_step():
    data = data_of()
    config = config_of(method=Method({"nesy": 1.0}), optimizer="muon", epochs=1, batch_size=30, views=1)
    trainer = Trainer(config, data, seed=0)
    before = copy.deepcopy(trainer.network)
    list(trainer.run())
    (hidden,) = before.encoder.hidden_weights()
    (moved,) = trainer.network.encoder.hidden_weights()
    assert hidden.shape == (32, 32)
    gradient = torch.linalg.svdvals(moved.grad)
    counted = gradient > 1e-2 * gradient[0]
    sizes = torch.linalg.svdvals((moved - hidden).detach())[: counted.sum()] / 0.02
    assert gradient[0] > 5 * gradient[counted][-1]
    assert sizes.min() > 0.5  # Newton-Schulz is approximate
    assert sizes.max() < 1.3


def test_term_that_is_not_finite_stops_the_run_with_step_and_term_named():
    trainer = Trainer(config_of(batch_size=10), data_of(30, Watched(broken_from=5)), seed=0)
    epochs = trainer.run()
    assert next(epochs).epoch == 1
    before = None
    with pytest.raises(
        NotFiniteError, match=r"not finite: nesy is nan at step 5; lower .* or the weight of nesy"
    ):
        before = copy.deepcopy(trainer.network.state_dict()), next(epochs)
    assert before is None
    assert trainer.step == 4
    assert all(value.isfinite().all() for value in trainer.network.state_dict().values())


def test_huge_learning_rate_stops_the_run():
    network = dataclasses.replace(config_of().network, temperature=0.0)
    config = config_of(network=network, learning_rate=1e30, method=Method({"gen": 1.0}))
    with pytest.raises(NotFiniteError, match=r"gen is (nan|-?inf) at step 2; lower learning_rate"):
        list(Trainer(config, data_of(), seed=0).run())


def test_method_with_nesy_wants_a_constraint():
    images, examples, _ = sums_of_patterns(5)
    with pytest.raises(UserError, match="weight for nesy, but there is no program"):
        Trainer(config_of(), TrainingData(images, examples), seed=0)
    Trainer(config_of(method=Method({"prior": 1.0})), TrainingData(images, examples), seed=0)


@pytest.mark.parametrize(("examples", "batch_size", "steps"), [(7, 3, 3), (6, 3, 2), (5, 20, 1), (4, 1, 4)])
def test_every_example_counts_once_an_epoch(examples, batch_size, steps):
    """Without learning, a term over batches is the term over all examples, the last batch partial."""
    constraint = Watched()
    method = Method({"nesy": 1.0})
    config = config_of(
        method=method, learning_rate=1e-12, epochs=2, batch_size=batch_size, views=1, weight_decay=0.0
    )
    data = data_of(examples, constraint)
    trainer = Trainer(config, data, seed=0)
    with torch.no_grad():
        logits = trainer.network(data.images[data.examples.flatten()].float() / 255)
        log_posterior = logits.log_softmax(1).view(examples, 3, CLASSES)
        losses = -Sum()(log_posterior)
    assert losses.std() > 0
    orders = []
    for epoch, metrics in enumerate(trainer.run(), start=1):
        assert trainer.step == steps * epoch
        assert metrics.terms["nesy"] == pytest.approx(losses.mean().item(), rel=1e-4)
        asked = torch.cat(constraint.asked)
        assert [len(batch) for batch in constraint.asked[:-1]] == [batch_size] * (steps - 1)
        distances = (asked[:, None] - log_posterior[None]).abs().amax((2, 3))
        orders.append(distances.argmin(1).tolist())
        assert sorted(orders[-1]) == list(range(examples))
        assert distances.min(1).values.max() < 1e-4
        constraint.asked.clear()
    assert orders[0] != list(range(examples)) or orders[1] != orders[0]  # shuffled


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
    data = TrainingData(images, examples, Sum(), WORLDS)
    trainer = Trainer(config_of(augmentation=Augmentation(noise_std=0.5)), data, seed=0)
    with torch.no_grad():
        expected = trainer.network(images.float() / 255).argmax(1)[examples]
    assert torch.equal(trainer.clusters(), expected)
    assert len(expected.unique()) == CLASSES


def pixel_reader(names, constant=None, largest_cluster=0.5, gain=0.02, optimizer="adam"):
    """A trainer whose network reads the brightest of four pixels, calls k names[k], and hardly learns.

    Args:
        names: what the network calls the pixels.
        constant: a class that it gives to every image instead, if not None.
    """
    images = torch.zeros(CLASSES, 1, 2, 2, dtype=torch.uint8)
    images.flatten(1)[range(CLASSES), range(CLASSES)] = 255
    rows = torch.tensor(SUMS * 3)
    network = NetworkConfig("mlp", CLASSES, 1, 2, 2, CLASSES, 0, 0.0, "torch")
    naming = NamingConfig(searches=3, until=1.0, gain=gain, largest_cluster=largest_cluster)
    config = config_of(
        network=network, naming=naming, method=Method({"nesy": 1.0}), learning_rate=1e-12,
        muon_learning_rate=1e-12, weight_decay=0.0, epochs=3, views=1, optimizer=optimizer,
    )  # fmt: skip
    trainer = Trainer(config, TrainingData(images, rows, Sum(), WORLDS), seed=0)
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
    names = [0, 1, 3, 2]
    satisfied = sum((names[a], names[b], names[c]) in SUMS for a, b, c in SUMS) / len(SUMS)
    assert 0 < satisfied < 1
    for gain, renamed in ((1 - satisfied + 0.01, False), (1 - satisfied - 0.01, True)):
        trainer, _ = pixel_reader(names, gain=gain)
        metrics = list(trainer.run())
        assert metrics[0].satisfied == pytest.approx(satisfied)
        assert [m.renamed for m in metrics] == [renamed, False, False]


def test_last_epoch_is_not_renamed():
    trainer, _ = pixel_reader([2, 0, 3, 1])
    trainer.config = dataclasses.replace(trainer.config, epochs=1)
    (metrics,) = trainer.run()
    assert metrics.satisfied < 0.5
    assert not metrics.renamed


def test_training_data_has_no_place_for_labels():
    names = {field.name for field in dataclasses.fields(TrainingData)}
    assert names == {"images", "examples", "constraint", "worlds", "log_prior"}
