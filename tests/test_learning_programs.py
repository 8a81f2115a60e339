"""Programs of many kinds: labels, small domains, learnable probabilities, examples of one's own, or none."""

import math
from dataclasses import replace
from itertools import product

import pytest
import torch
from tiny_training import (
    CONFIG,
    digits,
    learner_of,
    noisy,
    nothing,
    same,
    shipped,
    trainings,
    weights,
    written,
)

from nesy_gedi.data.augment import Augmentation
from nesy_gedi.data.images import ImageSet
from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.clustering import predict
from nesy_gedi.gedi.methods import METHODS, Method
from nesy_gedi.gedi.networks import GEDINetwork
from nesy_gedi.gedi.trainer import Trainer, TrainingData
from nesy_gedi.learning import Learner
from nesy_gedi.logic.examples import Readings
from nesy_gedi.results import Examples

ONE_STEP = replace(
    CONFIG,
    method=Method({"nesy": 25.0}),
    views=1,
    epochs=1,
    batch_size=1000,
    schedule="constant",
    augmentation=Augmentation(),
    naming=replace(CONFIG.naming, searches=0),
)
CLUSTERING = replace(CONFIG, method=METHODS["gedi"])


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def read_by(network: GEDINetwork, examples: Examples) -> torch.Tensor:
    """The most likely classes ``(examples, slots)``."""
    return predict(network, digits().train_images[examples.images.flatten()]).view(examples.images.shape)


def unlabelled(count: int) -> ImageSet:
    """The first of the digits, as if nobody knew them."""
    data = digits()
    return replace(
        data,
        train_images=data.train_images[:count],
        train_labels=None,
        test_images=data.test_images[:0],
        test_labels=None,
    )


def test_editing_the_program_changes_the_constraint_and_nothing_else() -> None:
    text = shipped("addition").source.text.replace("C is A + B", "C is A * B")
    learner = learner_of(written(text))
    examples = learner.examples(100, seed=0)
    first, second, third = digits().train_labels[examples.images].T
    assert torch.equal(first * second, third)
    readings = [(a, b, a * b) for a, b in product(range(10), repeat=2) if a * b < 10]
    uniform = torch.full((100, 3, 10), 0.1).log()
    constraint = learner.constraint(examples)
    probability = constraint(uniform, torch.arange(100)).exp()
    assert probability.tolist() == pytest.approx([len(readings) / 1000] * 100, rel=1e-5)
    every = torch.tensor(list(product(range(10), repeat=3)))
    holds = constraint.satisfied(every, torch.zeros(1000, dtype=torch.long))
    assert [tuple(row) for row in every[holds.bool()].tolist()] == readings


def test_every_example_has_its_own_label() -> None:
    """P(sum | images) of pairs that are labelled 0 to 18, from the definition; and their kinds."""
    learner = learner_of(shipped("labelled_addition"))
    examples = learner.examples(200, seed=1)
    totals = digits().train_labels[examples.images].sum(1)
    constraint = learner.constraint(examples)
    log_posterior = torch.randn(200, 2, 10, generator=torch.Generator().manual_seed(0)).log_softmax(2)
    pairs = torch.arange(10).view(-1, 1) + torch.arange(10)
    joint = log_posterior[:, 0, :, None].exp() * log_posterior[:, 1, None, :].exp()
    expected = (joint * (pairs == totals.view(-1, 1, 1))).sum((1, 2)).log()
    rows = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(constraint(log_posterior[rows], rows), expected[rows])
    assert torch.equal(constraint.kinds.view(-1, 1) == constraint.kinds, totals.view(-1, 1) == totals)
    readings = torch.randint(10, (200, 2), generator=torch.Generator().manual_seed(2))
    assert torch.equal(constraint.satisfied(readings, rows).bool(), readings.sum(1) == totals[rows])


def test_satisfied_counts_each_example_by_its_label() -> None:
    learner = learner_of(shipped("labelled_addition"), CONFIG)
    examples = learner.examples(60, seed=1)
    attempt = learner.train(examples, 0, nothing)
    totals = digits().train_labels[examples.images].sum(1)
    share = (read_by(attempt.network, examples).sum(1) == totals).double().mean().item()
    assert attempt.satisfied == pytest.approx(share)
    assert 0 < share < 1


def test_a_smaller_domain_takes_only_the_images_that_it_can_name() -> None:
    learner = learner_of(shipped("half"))
    examples = learner.examples(200, seed=0)
    labels = digits().train_labels[examples.images]
    assert {tuple(pair) for pair in labels.tolist()} == {(0, 0), (0, 1), (2, 3), (2, 4)}
    result, attempt = learner.run_seed(60, 0, nothing)
    assert attempt.network.config.classes == 5
    named = digits().test_labels < 5
    assert named.sum() == 500
    read, true = predict(attempt.network, digits().test_images[named]), digits().test_labels[named]
    assert result.score is not None
    assert result.score.accuracy == pytest.approx((read == true).double().mean().item())
    assert result.reads_as == tuple(int(read[true == k].bincount().argmax()) for k in range(5))


def test_classes_are_those_of_the_domain_in_its_order() -> None:
    """Class 0 reads as 3, class 1 as 1, class 2 as 2: the score asks what it reads as, not its number."""
    learner = learner_of(
        written("nn(net, [X], Y, [3,1,2]) :: digit(X, Y).\nless(X, Y) :- digit(X, A), digit(Y, B), A < B.\n")
    )
    first, second = digits().train_labels[learner.examples(100, 0).images].T
    assert (first < second).all()
    assert set(first.tolist()) | set(second.tolist()) == {1, 2, 3}
    result, attempt = learner.run_seed(20, 0, nothing)
    true = digits().test_labels
    named = (true >= 1) & (true <= 3)
    read = torch.tensor([3, 1, 2])[predict(attempt.network, digits().test_images[named])]
    assert result.score is not None
    assert result.score.accuracy == pytest.approx((read == true[named]).double().mean().item())
    test = learner.test_set()
    assert test is not None
    assert len(test[0]) == 300
    assert torch.equal(torch.tensor([3, 1, 2])[test[1]], true[named])


def test_a_domain_that_the_images_cannot_fill_is_refused() -> None:
    text = shipped("labelled_addition").source.text.replace("[0,1,2,3,4,5,6,7,8,9]", "[8,9,10]")
    with pytest.raises(UserError, match=r"domain \[8, 9, 10\] cannot be filled by mnist"):
        learner_of(written(text))


def noise_of(learner: Learner) -> float:
    return learner.circuit.probabilities.described()["noisy"]


@pytest.mark.parametrize("total", ["0", "9"])
def test_the_first_step_of_a_learnable_probability_is_adams(total: str) -> None:
    """Adam's first step moves either logit, of noisy and of none, by the learning rate.

    With uniform posteriors 0 is said by noise rather (1/19 against 1/100), 9 by the digits (10/100).
    """
    config = replace(ONE_STEP, learning_rate=0.1, weight_decay=0.5)
    learner = learner_of(shipped("noisy_addition"), config, distribution={total: 1.0})
    examples = learner.examples(20, 0)
    constraint = learner.constraint(examples)
    data = TrainingData(digits().train_images, examples.images, constraint)
    network = Trainer(learner.config, data, seed=0).network  # as every training with this seed starts
    views = digits().train_images[examples.images.flatten()].float() / 255
    first, second = network(views).double().softmax(1).detach().view(20, 2, 10).unbind(1)
    said = sum(first[:, a] * second[:, int(total) - a] for a in range(10) if 0 <= int(total) - a < 10)
    slope = ((1 / 19 - said) / (0.2 / 19 + 0.8 * said)).sum()  # d log P / d noise
    learned = learner.train(examples, 0, nothing).probabilities
    odds = 0.2 / 0.8 * math.exp(0.2 if slope > 0 else -0.2)
    assert learned == {"noisy": pytest.approx(odds / (1 + odds), rel=1e-5)}


def test_learnable_probabilities_start_anew_in_every_training() -> None:
    config = replace(CONFIG, method=Method({"nesy": 25.0}), learning_rate=0.1)
    learner = learner_of(shipped("noisy_addition"), config)
    examples = learner.examples(20, 0)
    attempts = [learner.train(examples, 0, nothing) for _ in range(2)]
    assert attempts[0].probabilities == attempts[1].probabilities
    assert same(weights(attempts[0].network), weights(attempts[1].network))
    assert abs(attempts[0].probabilities["noisy"] - 0.2) > 0.01
    assert noise_of(learner) == pytest.approx(0.2)
    result, attempt = learner.run_seed(20, 0, nothing)
    assert result.probabilities == attempt.probabilities == attempts[0].probabilities


def test_satisfied_is_the_probability_under_what_was_learned() -> None:
    """Of the readings at the end: 1/19 of the noise for any sum, the rest for the right one."""
    config = replace(CONFIG, method=Method({"nesy": 25.0, "inv": 5.0}), learning_rate=0.1, epochs=4)
    learner = learner_of(shipped("noisy_addition"), config)
    examples = learner.examples(40, 0)
    attempt = learner.train(examples, 0, nothing)
    noise = attempt.probabilities["noisy"]
    assert abs(noise - 0.2) > 0.05
    totals = examples.readings.answers
    right = (read_by(attempt.network, examples).sum(1) == totals).double().mean().item()
    assert attempt.satisfied == pytest.approx(noise / 19 + (1 - noise) * right, rel=1e-5)


def test_what_cannot_be_evaluated_by_deepproblog_is_refused() -> None:
    with pytest.raises(UserError, match="learnable probabilities"):
        learner_of(shipped("noisy_addition"), engine="deepproblog")


def given_sums(answers: list[int]) -> tuple[Learner, Examples]:
    """Unlabelled images in pairs of which only the sums are known."""
    learner = learner_of(
        shipped("labelled_addition"), replace(CONFIG, prior="program"), unlabelled(2 * len(answers))
    )
    rows = torch.arange(2 * len(answers)).view(-1, 2)
    numbers = torch.tensor([learner.circuit.answers.index(str(answer)) for answer in answers])
    examples = Examples(rows, Readings(torch.full_like(rows, -1), {}, numbers))
    learner.give(examples)
    return learner, examples


def test_given_examples_are_trained_on_and_have_no_score() -> None:
    learner, examples = given_sums([3, 7, 7, 12, 18, 0])
    result, _, (trainer,) = trainings(learner, 6, seed=5)
    assert learner.examples(1, 0) is examples  # whatever count and seed
    assert torch.equal(trainer.examples, examples.images)
    assert (result.score, result.reads_as) == (None, None)
    assert 0 <= result.satisfied <= 1
    assert result.terms["nesy"] > 0
    assert learner.test_set() is None


@pytest.mark.parametrize(
    ("answers", "shares"),
    [
        ([0, 18], {0: 1 / 2, 9: 1 / 2}),
        ([1, 1, 0], {0: 2 / 3, 1: 1 / 3}),
        ([2], dict.fromkeys(range(3), 1 / 3)),
    ],
)
def test_the_prior_of_given_examples_is_that_of_their_own_readings(
    answers: list[int], shares: dict[int, float]
) -> None:
    learner, _ = given_sums(answers)
    trainers = trainings(learner, 1, seed=0)[2]
    wanted = [shares.get(k, 0.0) for k in range(10)]
    assert trainers[0].log_prior.exp().tolist() == pytest.approx(wanted, abs=1e-5)
    optimum = -sum(p * math.log(p) for p in wanted if p)
    assert learner.optima()["prior"] == pytest.approx(optimum, abs=1e-3)


def test_without_labels_examples_must_be_given() -> None:
    learner = learner_of(shipped("addition"), CONFIG, unlabelled(10))
    with pytest.raises(UserError, match="no labels to draw examples by: give the examples"):
        learner.examples(1, 0)


def test_without_a_program_clusters_are_trained_on_single_images() -> None:
    learner = learner_of(None, CLUSTERING)
    examples = learner.examples(50, seed=2)
    assert examples.readings is None
    assert examples.images.shape == (50, 1)
    assert examples.images.unique().numel() == 50
    assert not torch.equal(examples.images, learner.examples(50, seed=3).images)
    result, network, (trainer,) = trainings(learner, 50, seed=2)
    assert torch.equal(trainer.examples, examples.images)
    assert network.config.classes == 10
    read, labels = predict(network, digits().test_images), digits().test_labels
    assert result.score is not None
    assert result.score.accuracy == pytest.approx((read == labels).double().mean().item())
    assert (result.satisfied, result.reads_as, result.restarts) == (None, None, 0)
    assert result.probabilities == {}
    assert learner.optima() == {"gen": None, "inv": 0.0, "prior": pytest.approx(math.log(10))}


def test_without_a_program_labels_decide_nothing() -> None:
    attempts = [
        learner_of(None, CLUSTERING, images).run_seed(20, 1, nothing)[1]
        for images in (digits(), noisy(digits(), "train_labels", "test_labels"))
    ]
    assert same(weights(attempts[0].network), weights(attempts[1].network))


def test_without_a_program_there_is_no_constraint_and_no_more_examples_than_images() -> None:
    with pytest.raises(UserError, match=r"weight for nesy, but there is no program: give one with --program"):
        learner_of(None, CONFIG)
    with pytest.raises(UserError, match="4001 examples asked, but there are 4000 images"):
        learner_of(None, CLUSTERING).examples(4001, 0)
    assert len(learner_of(None, CLUSTERING).examples(4000, 0).images.unique()) == 4000
