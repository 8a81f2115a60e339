"""A training that runs away is noticed and taken back, and what is done against it does what it says."""

import dataclasses
import math

import pytest
import torch
from small_constraints import Sum, Watched, config_of, data_of

from nesy_gedi.errors import UserError
from nesy_gedi.gedi.methods import Method
from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig
from nesy_gedi.gedi.objectives import squared_energy
from nesy_gedi.gedi.sampler import sgld
from nesy_gedi.gedi.stability import DivergedError, Guard, Rollback, StabilityConfig
from nesy_gedi.gedi.trainer import Trainer


def watch(values, name="gen", guard=None):
    """Steps until it is noticed; None if it is not."""
    guard = guard or Guard(StabilityConfig())
    for step, value in enumerate(values):
        terms, energy = ({"gen": value}, None) if name == "gen" else ({}, value)
        try:
            guard.check(terms, energy, 0.1, 4)
        except DivergedError:
            return step
    return None


def test_a_difference_of_energies_far_above_what_is_usual_is_noticed():
    assert watch([3.0] * 50 + [-49.0] + [3.0] * 50) is None  # below 10 nats nothing is unusual
    assert watch([3.0] * 50 + [-51.0]) == 50
    assert watch([30.0] * 5000 + [140.0]) is None
    assert watch([30.0] * 5000 + [-160.0]) == 5000
    assert watch([-(1.01**k) for k in range(1000)]) is not None  # a slow flight
    assert watch([-(1 + k / 50) for k in range(5000)]) is None  # a drift


def test_an_energy_may_drift_and_not_jump():
    assert watch([-2.0 * k for k in range(5000)], "energy") is None  # an unnormalised energy has no zero
    assert watch([-2.0 * k for k in range(500)] + [-15_000.0], "energy") == 500


def test_posteriors_that_stay_uniform_are_noticed_only_after_the_beginning():
    stuck = {"inv": math.log(4)}
    guard = Guard(StabilityConfig())
    for _ in range(1000):
        guard.check(stuck, None, 0.2, 4)
    for _ in range(150):
        guard.check(stuck, None, 0.5, 4)
    guard.check({"inv": 1.0}, None, 0.5, 4)
    for _ in range(200):
        guard.check(stuck, None, 0.5, 4)
    with pytest.raises(DivergedError, match="inv stays at ln 4"):
        guard.check(stuck, None, 0.5, 4)
    guard.done = [Rollback(1, 0, "")] * 3  # such a run still ends, and its terms say what it is
    for _ in range(300):
        guard.check(stuck, None, 0.5, 4)


def test_nothing_is_noticed_where_nobody_asked():
    assert watch([1e9], guard=Guard(StabilityConfig(rollbacks=0))) is None


class Broken(Sum):
    """The sum; nan in some calls."""

    def __init__(self, examples, calls):
        super().__init__(examples)
        self.left = list(calls)
        self.seen = 0

    def forward(self, log_posterior, rows):
        self.seen += 1
        return super().forward(log_posterior, rows) * (math.nan if self.seen in self.left else 1)


def going_back(*calls, every=2, epochs=4, rollbacks=3):
    """A training whose constraint is nan in some of its calls: three steps an epoch."""
    stability = StabilityConfig(every=every, rollbacks=rollbacks)
    config = config_of(batch_size=30, epochs=epochs, stability=stability)
    return Trainer(config, data_of(30, Broken(30, calls)), seed=0)


def test_a_training_goes_back_to_its_last_good_state_and_on():
    trainer = going_back(6)
    seen = {}

    def note():
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        seen.setdefault(trainer.step, []).append((trainer.generator.get_state(), rate))

    metrics = list(trainer.run(note))
    assert metrics[-1].epoch == 4
    (rollback,) = metrics[-1].rollbacks
    assert (rollback.step, rollback.back_to, rollback.reason) == (6, 4, "nesy is nan")
    assert [len(m.rollbacks) for m in metrics] == [0, 1, 1, 1]
    assert [len(seen[step]) for step in (4, 5, 6)] == [1, 2, 1]
    before, after = seen[5]
    assert not torch.equal(before[0], after[0])  # other random numbers
    assert after[1] == 0.5 * before[1]
    straight = list(going_back().run())
    assert metrics[0].terms == straight[0].terms
    assert metrics[1].terms != straight[1].terms
    assert all(value.isfinite().all() for value in trainer.network.state_dict().values())


def test_an_epoch_may_be_gone_back_over():
    trainer = going_back(5, every=100)
    assert [m.epoch for m in trainer.run()] == [1, 1, 2, 3, 4]
    assert trainer.guard.done[0].back_to == 0


def test_a_training_that_cannot_be_helped_ends_with_what_was_tried():
    trainer = going_back(*range(5, 100))
    with pytest.raises(
        DivergedError, match=r"ran away at step 5 after 3 rollbacks: nesy is nan; lower"
    ) as error:
        list(trainer.run())
    assert isinstance(error.value, UserError)
    assert [(one.step, one.back_to) for one in trainer.guard.done] == [(5, 4)] * 3
    with pytest.raises(DivergedError, match=r"ran away at step 5: nesy"):
        list(going_back(5, rollbacks=0).run())


def test_chains_at_the_ends_of_their_range_are_noticed():
    trainer = going_back(rollbacks=1)
    trainer.buffer.images[:] = (torch.rand(trainer.buffer.images.shape) < 0.5).half()
    assert trainer.buffer.saturation() == 1.0
    with pytest.raises(DivergedError, match="all black or white"):
        list(trainer.run())


@pytest.mark.parametrize("most", [0.05, 0.2])
def test_a_move_of_the_chain_is_never_larger_than_asked(most):
    start = torch.linspace(-1, 1, 9).view(9, 1)
    generator = torch.Generator().manual_seed(0)
    moved = sgld(lambda x: 10 * x, start, 1, 0.1, 0.0, generator, largest_move=most)
    torch.testing.assert_close(moved, start - start.clamp(-most, most))


def test_the_penalty_is_the_mean_squared_energy():
    torch.manual_seed(0)
    network = GEDINetwork(NetworkConfig("mlp", 8, 1, 4, 4, 5, temperature=0.0, initialisation="torch"))
    data, samples = torch.rand(6, 1, 4, 4), torch.rand(3, 1, 4, 4)
    value = squared_energy(network(data), network(samples))
    expected = sum((torch.logsumexp(network(x), 1) ** 2).mean() for x in (data, samples))
    torch.testing.assert_close(value, expected)


def test_a_strong_penalty_keeps_energies_near_zero():
    """Where only the sampler speaks, energies of an unbounded network move; with the penalty they do not."""
    largest = []
    for weight in (0.0, 100.0):
        network = dataclasses.replace(config_of().network, temperature=0.0)
        config = config_of(
            network=network,
            method=Method({"gen": 1.0}),
            learning_rate=1e-2,
            epochs=10,
            stability=StabilityConfig(energy_l2=weight),
        )
        trainer = Trainer(config, data_of(), seed=0)
        list(trainer.run())
        with torch.no_grad():
            largest.append(trainer.network.energy(trainer._pixels(torch.arange(90))).abs().max().item())
    assert largest[1] < 0.5 * largest[0]


def test_the_gradient_is_shortened_to_the_norm_asked():
    """Plain gradient descent's step would be as long; Adam's is not, so look at the gradient itself."""
    norms = []
    for most in (0.0, 0.01):
        config = config_of(stability=StabilityConfig(gradient_norm=most))
        trainer = Trainer(config, data_of(), seed=0)
        trainer._train_step(torch.arange(10))
        gradients = [p.grad.flatten() for p in trainer.network.parameters()]
        norms.append(torch.cat(gradients).norm().item())
    assert norms[0] > 0.1
    assert norms[1] == pytest.approx(0.01, rel=1e-3)


def test_the_learning_rate_warms_up():
    config = config_of(epochs=10, schedule="constant", stability=StabilityConfig(warm_up=0.5))
    watched = Watched(30)
    trainer = Trainer(config, data_of(30, watched), seed=0)
    watched.trainer = trainer
    list(trainer.run())
    rates = [rates[0] / config.learning_rate for rates in watched.rates]
    wanted = [min(1.0, max(k / len(rates), 1e-3) / 0.5) for k in range(len(rates))]
    assert rates == pytest.approx(wanted)
