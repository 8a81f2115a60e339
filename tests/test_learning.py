"""Learning from a program: no labels, restarts, priors, engines."""

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nesy_gedi.data.images import ImageSet
from nesy_gedi.data.mnist import load_mnist
from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.clustering import predict
from nesy_gedi.gedi.config import NamingConfig, TrainConfig
from nesy_gedi.gedi.methods import Method
from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig
from nesy_gedi.gedi.sampler import SamplerConfig
from nesy_gedi.gedi.trainer import EpochMetrics, Trainer
from nesy_gedi.learning import ENGINES, Attempt, Learner, SeedResult
from nesy_gedi.resources import resource

PROGRAM = resource("programs", "addition.pl")
ALL = Method({"gen": 1.0, "inv": 50.0, "prior": 100.0, "nesy": 25.0})
DIGIT_SHARES = [(21 - k) / 165 for k in range(10)]
NEVER, ALWAYS = 1.1, 0.0  # thresholds that no training, and any training, reaches
CONFIG = TrainConfig(
    method=ALL,
    network=NetworkConfig(width=4),
    sampler=SamplerConfig(count=4, steps=1, step_size=0.1, buffer_size=20),
    naming=NamingConfig(
        searches=2, until=1.0, gain=0.01, largest_cluster=1.0, restarts=0, restart_below=ALWAYS
    ),
    epochs=2,
    batch_size=10,
    prior="uniform",
)


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return load_mnist(Path("there is no such folder"), explicit=False)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def nothing(*_: object) -> None:
    pass


def weights(network: GEDINetwork) -> list[Tensor]:
    return [value.clone() for value in network.state_dict().values()]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def noisy(images: ImageSet, *names: str) -> ImageSet:
    generator = torch.Generator().manual_seed(1)
    labels = {n: torch.randint(0, 10, getattr(images, n).shape, generator=generator) for n in names}
    return replace(images, **labels)


def with_naming(config: TrainConfig, **changes: object) -> TrainConfig:
    return replace(config, naming=replace(config.naming, **changes))  # type: ignore[arg-type]


def test_labels_replaced_by_noise_give_the_same_weights_bit_for_bit(images: ImageSet) -> None:
    learner = Learner(PROGRAM, images, CONFIG)
    blind = Learner(PROGRAM, noisy(images, "train_labels", "test_labels"), CONFIG)
    examples = learner.examples(20, seed=3)
    seen: list[list[EpochMetrics]] = [[], []]
    one = learner.train(examples, 3, lambda _, metrics: seen[0].append(metrics))
    other = blind.train(examples, 3, lambda _, metrics: seen[1].append(metrics))
    assert same(weights(one.network), weights(other.network))
    assert (one.satisfied, one.collapsed, one.constraint_loss) == (
        *(other.satisfied, other.collapsed, other.constraint_loss),
    )
    assert [m.terms for m in seen[0]] == [m.terms for m in seen[1]]
    assert any(m.renamed for m in seen[0])  # the search for names was part of it
    assert not same(weights(one.network), weights(learner.train(examples, 4, nothing).network))


def test_labels_of_the_test_images_decide_nothing_but_the_score(images: ImageSet) -> None:
    config = with_naming(CONFIG, restarts=2, restart_below=NEVER)
    result, attempt = Learner(PROGRAM, images, config).run_seed(20, 0, nothing)
    network = attempt.network
    blind = Learner(PROGRAM, noisy(images, "test_labels"), config)
    blind_result, blind_attempt = blind.run_seed(20, 0, nothing)
    blind_network = blind_attempt.network
    assert same(weights(network), weights(blind_network))
    assert (result.satisfied, result.restarts) == (blind_result.satisfied, blind_result.restarts)
    assert result.nmi != blind_result.nmi


def test_examples_satisfy_the_program_and_use_an_image_once(images: ImageSet) -> None:
    examples = Learner(PROGRAM, images, CONFIG).examples(300, seed=5)
    first, second, third = images.train_labels[examples].T
    assert torch.equal(first + second, third)
    assert examples.unique().numel() == examples.numel() == 900


def trainings(learner: Learner, count: int, seed: int) -> tuple[SeedResult, GEDINetwork, list[Trainer]]:
    """Run a seed; the trainers of its attempts, in order."""
    met: dict[int, Trainer] = {}
    epochs: list[tuple[int, int]] = []

    def on_epoch(attempt: int, trainer: Trainer, metrics: EpochMetrics) -> None:
        met[attempt] = trainer
        epochs.append((attempt, metrics.epoch))

    result, attempt = learner.run_seed(count, seed, on_epoch)

    network = attempt.network
    assert epochs == [(a, e) for a in range(len(met)) for e in range(1, learner.config.epochs + 1)]
    return result, network, list(met.values())


def own_facts(trainer: Trainer, images: ImageSet) -> tuple[float, float]:
    """Share of the examples read as true sums, and of the largest cluster, counted afresh."""
    pictures = images.train_images[trainer.examples.flatten()]
    read = predict(trainer.network, pictures).view(trainer.examples.shape)
    return float((read[:, 0] + read[:, 1] == read[:, 2]).double().mean()), int(
        read.flatten().bincount().max()
    ) / read.numel()


@pytest.mark.parametrize("restarts", [0, 1, 3])
def test_out_of_reach_all_restarts_are_used(images: ImageSet, restarts: int) -> None:
    config = with_naming(replace(CONFIG, epochs=1), restarts=restarts, restart_below=NEVER)
    result, network, trainers = trainings(Learner(PROGRAM, images, config), 10, seed=0)
    assert result.restarts == restarts
    assert len(trainers) == restarts + 1
    assert any(network is trainer.network for trainer in trainers)
    outcomes = [weights(trainer.network) for trainer in trainers]
    assert not any(same(a, b) for i, a in enumerate(outcomes) for b in outcomes[:i])
    assert all(torch.equal(trainer.examples, trainers[0].examples) for trainer in trainers)


def test_a_training_that_is_good_enough_is_the_last(images: ImageSet) -> None:
    config = with_naming(replace(CONFIG, epochs=1), restarts=3, restart_below=ALWAYS, largest_cluster=1.0)
    result, _, trainers = trainings(Learner(PROGRAM, images, config), 10, seed=0)
    assert (result.restarts, len(trainers)) == (0, 1)


def test_a_collapsed_training_is_never_good_enough(images: ImageSet) -> None:
    config = with_naming(replace(CONFIG, epochs=1), restarts=2, restart_below=ALWAYS, largest_cluster=0.0)
    result, _, _ = trainings(Learner(PROGRAM, images, config), 10, seed=0)
    assert result.restarts == 2


@pytest.mark.parametrize(
    "weights_", [{"nesy": 25.0}, {"gen": 1.0, "prior": 50.0}, {"nesy": 25.0, "inv": 5.0}]
)
def test_without_constraint_or_prior_nothing_starts_again(
    images: ImageSet, weights_: dict[str, float]
) -> None:
    config = with_naming(replace(CONFIG, epochs=1, method=Method(weights_)), restarts=3, restart_below=NEVER)
    result, _, trainers = trainings(Learner(PROGRAM, images, config), 10, seed=0)
    assert (result.restarts, len(trainers)) == (0, 1)
    assert (result.constraint_loss is not None) == ("nesy" in weights_)


def test_the_best_training_is_chosen_by_its_own_examples_and_collapsed_ones_last(images: ImageSet) -> None:
    """Whatever is called collapsed; the thresholds lie between the sizes that the trainings came to."""
    config = with_naming(replace(CONFIG, epochs=1), searches=0, restarts=4, restart_below=NEVER)
    _, _, trainers = trainings(Learner(PROGRAM, images, config), 20, seed=3)
    facts = [own_facts(trainer, images) for trainer in trainers]
    sizes = sorted({largest for _, largest in facts})
    chosen = set()
    for threshold in (1.0, *((a + b) / 2 for a, b in pairwise(sizes)), 0.0):
        learner = Learner(PROGRAM, images, with_naming(config, largest_cluster=threshold))
        result, network, again = trainings(learner, 20, seed=3)
        ranks = [(largest <= threshold, satisfied) for satisfied, largest in facts]
        best = ranks.index(max(ranks))
        assert network is again[best].network
        assert result.satisfied == pytest.approx(facts[best][0])
        chosen.add(best)
    assert len(chosen) > 1  # else the thresholds were no test


def test_the_score_is_that_of_the_returned_network_on_all_test_images(images: ImageSet) -> None:
    result, attempt = Learner(PROGRAM, images, CONFIG).run_seed(20, 0, nothing)
    network = attempt.network
    right = predict(network, images.test_images) == images.test_labels
    assert len(right) == 1000
    assert result.accuracy == pytest.approx(right.double().mean().item())
    assert result.accuracy <= result.matched_accuracy <= 1
    assert result.seconds > 0


def test_editing_the_program_changes_the_constraint_and_nothing_else(
    images: ImageSet, tmp_path: Path
) -> None:
    edited = tmp_path / "product.pl"
    edited.write_text(PROGRAM.read_text(encoding="utf-8").replace("C is A + B", "C is A * B"))
    learner = Learner(edited, images, CONFIG)
    readings = sorted(map(tuple, learner.worlds.nonzero().tolist()))
    assert readings == [(a, b, a * b) for a in range(10) for b in range(10) if a * b < 10]
    first, second, third = images.train_labels[learner.examples(100, seed=0)].T
    assert torch.equal(first * second, third)
    uniform = torch.full((1, 3, 10), 0.1).log()
    assert learner.constraint(uniform).exp().item() == pytest.approx(len(readings) / 1000, rel=1e-5)


@pytest.mark.parametrize(("prior", "shares"), [("program", DIGIT_SHARES), ("uniform", [0.1] * 10)])
def test_the_prior_is_uniform_or_that_of_the_programs_readings(
    images: ImageSet, prior: str, shares: list[float]
) -> None:
    learner = Learner(PROGRAM, images, replace(CONFIG, prior=prior, epochs=1))
    trainers: list[Trainer] = []
    learner.train(learner.examples(10, 0), 0, lambda trainer, _: trainers.append(trainer))
    assert trainers[0].log_prior.exp().tolist() == pytest.approx(shares)


@pytest.mark.parametrize(
    ("prior", "form", "optimum"),
    [
        ("uniform", "cross-entropy", math.log(10)),
        ("program", "cross-entropy", -sum(p * math.log(p) for p in DIGIT_SHARES)),
        ("uniform", "entropy", -math.log(10)),
        ("program", "entropy", -math.log(10)),
    ],
)
def test_optima(images: ImageSet, prior: str, form: str, optimum: float) -> None:
    config = replace(CONFIG, prior=prior, method=replace(ALL, prior_form=form))
    optima = Learner(PROGRAM, images, config).optima()
    assert optima == {"gen": None, "inv": 0.0, "prior": pytest.approx(optimum, abs=1e-6), "nesy": 0.0}
    alone = Learner(PROGRAM, images, replace(config, method=Method({"nesy": 25.0}))).optima()
    assert alone == {"nesy": 0.0}


def test_a_network_of_another_size_than_the_domain_is_refused(images: ImageSet) -> None:
    config = replace(CONFIG, network=replace(CONFIG.network, classes=7))
    with pytest.raises(UserError, match=r"7 outputs, but .*addition\.pl lists 10 classes for mnist_net"):
        Learner(PROGRAM, images, config)


def test_unknown_engine(images: ImageSet) -> None:
    with pytest.raises(UserError, match="unknown engine 'circiut': did you mean 'circuit'"):
        Learner(PROGRAM, images, CONFIG, engine="circiut")


def test_all_engines_train_alike_on_real_digits(images: ImageSet) -> None:
    """The second step's terms depend on the first one's gradients."""
    config = replace(
        CONFIG,
        method=Method({"prior": 10.0, "nesy": 25.0}),
        views=1,
        schedule="constant",
        optimizer="adam",
        learning_rate=1e-3,
        batch_size=2,
        epochs=2,
        naming=replace(CONFIG.naming, searches=0),
    )
    outcomes: dict[str, tuple[list[dict[str, float]], Attempt]] = {}
    for engine in ENGINES:
        learner = Learner(PROGRAM, images, config, engine)
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
