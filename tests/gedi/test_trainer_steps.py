import copy
import dataclasses
import math
from itertools import product

import pytest
import torch
from small_constraints import (
    CLASSES,
    FULL,
    SUMS,
    Coin,
    Sum,
    Watched,
    config_of,
    data_of,
    labelled_pairs,
)

from nesy_gedi.data.augment import Augmentation
from nesy_gedi.gedi.methods import Method
from nesy_gedi.gedi.optimizers import cosine_factor
from nesy_gedi.gedi.sampler import sample_step
from nesy_gedi.gedi.trainer import Trainer


def likely_sums(posterior, totals):
    """P(sum) of each example: of the third image, or, with ``totals``, of the label."""
    if totals is None:
        worlds = posterior.view(-1, 3, CLASSES)
        return sum(worlds[:, 0, a] * worlds[:, 1, b] * worlds[:, 2, c] for a, b, c in SUMS)
    worlds = posterior.view(-1, 2, CLASSES)
    pairs = product(range(CLASSES), repeat=2)
    return sum(worlds[:, 0, a] * worlds[:, 1, b] * (totals == a + b) for a, b in pairs)


def expected_terms(network, views, samples, log_prior, totals):
    """The full method's terms, from the definitions."""
    logits = [network(view) for view in views]
    posteriors = [outputs.double().softmax(1) for outputs in logits]
    marginal = torch.cat(posteriors).mean(0)
    likely = torch.cat([likely_sums(posterior, totals) for posterior in posteriors])
    return {
        "gen": network(samples).exp().sum(1).log().mean() - torch.cat(logits).exp().sum(1).log().mean(),
        "inv": -(posteriors[-1] * posteriors[0].log()).sum(1).mean(),
        "prior": (marginal * (marginal.log() - log_prior)).sum() - math.log(CLASSES),
        "nesy": -likely.log().mean(),
    }


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("log_prior", [None, [0.4, 0.3, 0.2, 0.1]])
@pytest.mark.parametrize("labelled", [False, True])
def test_terms_and_their_weighted_gradient_are_those_of_the_definitions(views, log_prior, labelled):
    log_prior = None if log_prior is None else torch.tensor(log_prior).log()
    data = dataclasses.replace(labelled_pairs(30)[0] if labelled else data_of(30), log_prior=log_prior)
    weights = {**FULL.weights, "inv": FULL.weights["inv"] * (views == 2)}
    augmentation = Augmentation(degrees=10.0, noise_std=0.2)
    config = config_of(
        method=Method(weights, "entropy"), augmentation=augmentation, epochs=1, batch_size=90, views=views
    )
    trainer, twin = Trainer(config, data, seed=3), Trainer(config, data, seed=3)
    network = copy.deepcopy(trainer.network)
    order = torch.randperm(30, generator=twin.generator)
    images = data.images[data.examples[order].flatten()].float() / 255
    pictures = [augmentation(images, twin.generator) for _ in range(views)]
    samples = sample_step(twin.network, twin.buffer, config.sampler)
    prior = torch.full((CLASSES,), 1 / CLASSES).log() if log_prior is None else log_prior
    totals = data.constraint.totals[order] if labelled else None
    terms = expected_terms(network, pictures, samples, prior, totals)

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
    config = config_of(optimizer=name, epochs=5, batch_size=90, weight_decay=0.1)
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
        constraint = Watched(30)
        config = config_of(method=Method({"nesy": 1.0}), schedule=schedule, epochs=10, batch_size=9, views=1)
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
    config = config_of(method=Method({"nesy": 1.0}), optimizer="muon", epochs=1, batch_size=90, views=1)
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


@pytest.mark.parametrize("name", ["adam", "muon"])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_what_the_constraint_learns_takes_adams_steps_without_a_penalty(name, schedule):
    """A coin's logit has a gradient in closed form: its probability minus the batch's share of heads."""
    heads = torch.rand(30, generator=torch.Generator().manual_seed(0)) < 0.7
    coin = Coin(heads)
    weights = Method({"prior": 1.0, "nesy": 3.0})
    config = config_of(
        method=weights, optimizer=name, schedule=schedule, epochs=4, learning_rate=0.1, weight_decay=0.5
    )
    trainer = Trainer(config, data_of(30, coin), seed=5)
    orders = torch.Generator().manual_seed(5)
    logit = torch.nn.Parameter(torch.zeros(()))
    adam = torch.optim.Adam([logit], lr=0.1, betas=(0.9, 0.99))
    step = 0
    for _ in trainer.run():
        for rows in torch.randperm(30, generator=orders).split(10):
            adam.param_groups[0]["lr"] = 0.1 * (1 if schedule == "constant" else cosine_factor(step / 12))
            logit.grad = 3.0 * (logit.sigmoid() - heads[rows].float().mean()).detach()
            adam.step()
            step += 1
        torch.testing.assert_close(coin.logit, logit, atol=1e-6, rtol=1e-5)
    assert step == trainer.step == 12
    assert abs(float(logit)) > 0.1


def test_a_learned_probability_goes_to_the_share_of_the_examples():
    heads = torch.arange(30) % 10 < 7
    coin = Coin(heads)
    config = config_of(
        method=Method({"nesy": 1.0}), epochs=150, batch_size=90, views=1, learning_rate=0.1, schedule="cosine"
    )
    *_, last = Trainer(config, data_of(30, coin), seed=0).run()
    assert coin.logit.sigmoid().item() == pytest.approx(0.7, abs=1e-3)
    assert last.terms["nesy"] == pytest.approx(-(0.7 * math.log(0.7) + 0.3 * math.log(0.3)), abs=1e-4)
    # whatever the images show: how probable the examples are on average
    assert last.satisfied == pytest.approx(0.7 * 0.7 + 0.3 * 0.3, abs=1e-3)


@pytest.mark.parametrize(
    ("examples", "batch_size", "steps"), [(7, 9, 3), (7, 11, 3), (6, 9, 2), (5, 60, 1), (4, 3, 4), (4, 1, 4)]
)
def test_every_example_counts_once_an_epoch(examples, batch_size, steps):
    """Without learning, a term over batches is the term over all examples, the last batch partial.

    Batches are as many whole examples as fit into ``batch_size`` images, at least one.
    """
    constraint = Watched(examples)
    method = Method({"nesy": 1.0})
    config = config_of(
        method=method, learning_rate=1e-12, epochs=2, batch_size=batch_size, views=1, weight_decay=0.0
    )
    data = data_of(examples, constraint)
    trainer = Trainer(config, data, seed=0)
    with torch.no_grad():
        logits = trainer.network(data.images[data.examples.flatten()].float() / 255)
        log_posterior = logits.log_softmax(1).view(examples, 3, CLASSES)
        losses = -Sum(examples)(log_posterior, range(examples))
    assert losses.std() > 0
    orders = []
    for epoch, metrics in enumerate(trainer.run(), start=1):
        assert trainer.step == steps * epoch
        assert metrics.terms["nesy"] == pytest.approx(losses.mean().item(), rel=1e-4)
        asked = torch.cat(constraint.asked)
        assert [len(batch) for batch in constraint.asked[:-1]] == [max(1, batch_size // 3)] * (steps - 1)
        distances = (asked[:, None] - log_posterior[None]).abs().amax((2, 3))
        orders.append(distances.argmin(1).tolist())
        assert sorted(orders[-1]) == list(range(examples))
        assert distances.min(1).values.max() < 1e-4
        assert torch.cat(constraint.rows).tolist() == orders[-1]  # it is told which examples they are
        constraint.asked.clear()
        constraint.rows.clear()
    assert orders[0] != list(range(examples)) or orders[1] != orders[0]  # shuffled
