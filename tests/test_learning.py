"""Learning from a program: no labels, restarts, the choice among trainings, priors, engines."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from tiny_training import (
    ALL,
    ALWAYS,
    CONFIG,
    DIGIT_SHARES,
    NEVER,
    digits,
    learner_of,
    noisy,
    nothing,
    same,
    shipped,
    trainings,
    weights,
    with_naming,
)

from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.clustering import predict
from nesy_gedi.gedi.methods import Method
from nesy_gedi.gedi.trainer import EpochMetrics, Trainer
from nesy_gedi.learning import ENGINES, Learner
from nesy_gedi.results import Attempt, Examples


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def addition(config=CONFIG, **options: object) -> Learner:  # type: ignore[no-untyped-def]
    return learner_of(shipped("addition"), config, **options)


@pytest.mark.parametrize("program", ["addition", "labelled_addition", "noisy_addition"])
def test_labels_replaced_by_noise_give_the_same_weights_bit_for_bit(program: str) -> None:
    """Examples are drawn with labels; from then on no label decides anything, nor do the true readings."""
    config = replace(CONFIG, prior="program")
    learner = learner_of(shipped(program), config)
    blind = learner_of(shipped(program), config, noisy(digits(), "train_labels", "test_labels"))
    examples = learner.examples(20, seed=3)
    assert examples.readings is not None
    scrambled = examples.readings.classes.flip(0)
    assert not torch.equal(scrambled, examples.readings.classes)
    blindly = Examples(examples.images, replace(examples.readings, classes=scrambled))
    seen: list[list[EpochMetrics]] = [[], []]
    one = learner.train(examples, 3, lambda _, metrics: seen[0].append(metrics))
    other = blind.train(blindly, 3, lambda _, metrics: seen[1].append(metrics))
    assert same(weights(one.network), weights(other.network))
    assert replace(one, network=other.network) == other
    assert [m.terms for m in seen[0]] == [m.terms for m in seen[1]]
    assert any(m.renamed for m in seen[0])  # the search for names was part of it
    assert not same(weights(one.network), weights(learner.train(examples, 4, nothing).network))


def test_labels_of_the_test_images_decide_nothing_but_the_score() -> None:
    config = with_naming(CONFIG, restarts=2, restart_below=NEVER)
    result, attempt = addition(config).run_seed(20, 0, nothing)
    blind = addition(config, images=noisy(digits(), "test_labels"))
    blind_result, blind_attempt = blind.run_seed(20, 0, nothing)
    assert same(weights(attempt.network), weights(blind_attempt.network))
    assert (result.satisfied, result.restarts) == (blind_result.satisfied, blind_result.restarts)
    assert result.score != blind_result.score


def test_examples_satisfy_the_program_and_use_an_image_once() -> None:
    examples = addition().examples(300, seed=5)
    first, second, third = digits().train_labels[examples.images].T
    assert torch.equal(first + second, third)
    assert examples.images.unique().numel() == examples.images.numel() == 900
    assert torch.equal(examples.readings.classes, digits().train_labels[examples.images])


def own_facts(trainer: Trainer) -> tuple[float, float]:
    """Share of the examples read as true sums, and of the largest cluster, counted afresh."""
    pictures = digits().train_images[trainer.examples.flatten()]
    read = predict(trainer.network, pictures).view(trainer.examples.shape)
    return float((read[:, 0] + read[:, 1] == read[:, 2]).double().mean()), int(
        read.flatten().bincount().max()
    ) / read.numel()


@pytest.mark.parametrize("restarts", [0, 1, 3])
def test_out_of_reach_all_restarts_are_used(restarts: int) -> None:
    config = with_naming(replace(CONFIG, epochs=1), restarts=restarts, restart_below=NEVER)
    result, network, trainers = trainings(addition(config), 10, seed=0)
    assert result.restarts == restarts
    assert len(trainers) == restarts + 1
    assert any(network is trainer.network for trainer in trainers)
    outcomes = [weights(trainer.network) for trainer in trainers]
    assert not any(same(a, b) for i, a in enumerate(outcomes) for b in outcomes[:i])
    assert all(torch.equal(trainer.examples, trainers[0].examples) for trainer in trainers)


def test_a_training_that_is_good_enough_is_the_last() -> None:
    config = with_naming(replace(CONFIG, epochs=1), restarts=3, restart_below=ALWAYS, largest_cluster=1.0)
    result, _, trainers = trainings(addition(config), 10, seed=0)
    assert (result.restarts, len(trainers)) == (0, 1)


def test_a_collapsed_training_is_never_good_enough() -> None:
    config = with_naming(replace(CONFIG, epochs=1), restarts=2, restart_below=ALWAYS, largest_cluster=0.0)
    result, _, _ = trainings(addition(config), 10, seed=0)
    assert result.restarts == 2


@pytest.mark.parametrize(
    ("program", "terms"),
    [
        ("addition", {"nesy": 25.0}),
        ("addition", {"gen": 1.0, "prior": 50.0}),
        ("addition", {"nesy": 25.0, "inv": 5.0}),
        ("noisy_addition", {"nesy": 25.0, "prior": 50.0}),  # what is never certain is never enough
    ],
)
def test_without_constraint_or_prior_or_certainty_nothing_starts_again(
    program: str, terms: dict[str, float]
) -> None:
    config = with_naming(replace(CONFIG, epochs=1, method=Method(terms)), restarts=3, restart_below=NEVER)
    result, _, trainers = trainings(learner_of(shipped(program), config), 10, seed=0)
    assert (result.restarts, len(trainers)) == (0, 1)
    assert ("nesy" in result.terms) == ("nesy" in terms)


def test_the_best_training_is_chosen_by_its_own_examples_and_collapsed_ones_last() -> None:
    """Whatever is called collapsed; the thresholds lie between the sizes that the trainings came to."""
    config = with_naming(replace(CONFIG, epochs=1), searches=0, restarts=4, restart_below=NEVER)
    _, _, trainers = trainings(addition(config), 20, seed=3)
    facts = [own_facts(trainer) for trainer in trainers]
    sizes = sorted({largest for _, largest in facts})
    chosen = set()
    for threshold in (1.0, *((a + b) / 2 for a, b in pairwise(sizes)), 0.0):
        learner = addition(with_naming(config, largest_cluster=threshold))
        result, network, again = trainings(learner, 20, seed=3)
        ranks = [(largest <= threshold, satisfied) for satisfied, largest in facts]
        best = ranks.index(max(ranks))
        assert network is again[best].network
        assert result.satisfied == pytest.approx(facts[best][0])
        chosen.add(best)
    assert len(chosen) > 1  # else the thresholds were no test


def test_the_score_is_that_of_the_returned_network_on_all_test_images() -> None:
    result, attempt = addition().run_seed(20, 0, nothing)
    read, labels = predict(attempt.network, digits().test_images), digits().test_labels
    assert len(read) == 1000
    assert result.score is not None
    assert result.score.accuracy == pytest.approx((read == labels).double().mean().item())
    assert result.score.accuracy <= result.score.matched_accuracy <= 1
    assert result.reads_as == tuple(int(read[labels == k].bincount().argmax()) for k in range(10))
    assert result.seconds > 0


@pytest.mark.parametrize(("prior", "shares"), [("program", DIGIT_SHARES), ("uniform", [0.1] * 10)])
def test_the_prior_is_uniform_or_that_of_the_programs_readings(prior: str, shares: list[float]) -> None:
    learner = addition(replace(CONFIG, prior=prior, epochs=1))
    trainers: list[Trainer] = []
    learner.train(learner.examples(10, 0), 0, lambda trainer, _: trainers.append(trainer))
    assert trainers[0].log_prior.exp().tolist() == pytest.approx(shares, abs=1e-6)


def test_the_prior_follows_the_distribution_of_the_examples() -> None:
    """Only sums 0 and 1, the first three times as often: 0 stands in 3/4 of both slots, and in one more."""
    config = replace(CONFIG, prior="program", epochs=1)
    learner = learner_of(shipped("labelled_addition"), config, distribution={"0": 3.0, "1": 1.0})
    examples = learner.examples(40, 0)
    assert set(examples.readings.answers.tolist()) == {0, 1}
    assert torch.equal(digits().train_labels[examples.images].sum(1), examples.readings.answers)
    trainers: list[Trainer] = []
    learner.train(examples, 0, lambda trainer, _: trainers.append(trainer))
    assert trainers[0].log_prior.exp().tolist() == pytest.approx([7 / 8, 1 / 8, *[0.0] * 8], abs=1e-5)


@pytest.mark.parametrize(
    ("prior", "form", "optimum"),
    [
        ("uniform", "cross-entropy", math.log(10)),
        ("program", "cross-entropy", -sum(p * math.log(p) for p in DIGIT_SHARES)),
        ("uniform", "entropy", -math.log(10)),
        ("program", "entropy", -math.log(10)),
    ],
)
def test_optima(prior: str, form: str, optimum: float) -> None:
    config = replace(CONFIG, prior=prior, method=replace(ALL, prior_form=form))
    optima = addition(config).optima()
    assert optima == {"gen": None, "inv": 0.0, "prior": pytest.approx(optimum, abs=1e-6), "nesy": 0.0}
    alone = replace(config, method=Method({"nesy": 25.0}))
    assert addition(alone).optima() == {"nesy": 0.0}
    # whoever does not know how many labels are wrong does not know the least loss
    assert learner_of(shipped("noisy_addition"), alone).optima() == {"nesy": None}


def test_unknown_engine() -> None:
    with pytest.raises(UserError, match="unknown engine 'circiut': did you mean 'circuit'"):
        addition(engine="circiut")


@pytest.mark.parametrize("program", ["addition", "labelled_addition"])
def test_all_engines_train_alike_on_real_digits(program: str) -> None:
    """The second step's terms depend on the first one's gradients."""
    config = replace(
        CONFIG,
        method=Method({"prior": 10.0, "nesy": 25.0}),
        views=1,
        schedule="constant",
        optimizer="adam",
        learning_rate=1e-3,
        batch_size=6,
        epochs=2,
        naming=replace(CONFIG.naming, searches=0),
    )
    outcomes: dict[str, tuple[list[dict[str, float]], Attempt]] = {}
    for engine in ENGINES:
        learner = learner_of(shipped(program), config, engine=engine)
        rows: list[dict[str, float]] = []
        attempt = learner.train(learner.examples(2, 0), 0, lambda _, metrics, r=rows: r.append(metrics.terms))
        outcomes[engine] = rows, attempt
    assert len(outcomes) == 3
    terms, attempt = outcomes["circuit"]
    assert terms[0] != terms[1]
    for others, other in outcomes.values():
        for ours, theirs in zip(terms, others, strict=True):
            assert theirs == pytest.approx(ours, rel=1e-4)
        for a, b in zip(weights(attempt.network), weights(other.network), strict=True):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)
