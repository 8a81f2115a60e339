"""Noticing that an energy-based training runs away, and what keeps it from doing so."""

import copy
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from nesy_gedi.errors import UserError, check_ranges
from nesy_gedi.gedi.training_state import restore, training_state

if TYPE_CHECKING:
    from nesy_gedi.gedi.trainer import Trainer

_SCALE = 10.0  # nats; energies below it are never far from anything
_GEN_RATIO, _GEN_DECAY = 5.0, 0.999  # gen against its average over some thousand steps
_ENERGY_RATIO, _ENERGY_DECAY = 10.0, 0.99  # energy against its average over some hundred: it may drift
_SATURATED = 0.995  # share of the chains' pixels that are black or white
_STUCK_FROM, _STUCK_FOR, _STUCK = 0.25, 200, 0.99
_SEED_STRIDE = 7919  # between the generators of a training and of what follows a rollback

STABILISERS: dict[str, dict[str, Any]] = {
    "off": {"stability": {"rollbacks": 0}},
    "paper": {"stability": {"rollbacks": 3}},
    "default": {
        "stability": {"rollbacks": 3, "energy_l2": 0.01, "gradient_norm": 10.0, "warm_up": 0.05},
        "sampler": {"largest_move": 0.1},
    },
}
"""Settings by the name that ``--stabilise`` gives; docs/stability.md measures them."""


class DivergedError(UserError):
    """A training ran away; the message says how it showed."""


@dataclass(frozen=True)
class StabilityConfig:
    """What holds a training, and how often it may be taken back.

    Attributes:
        rollbacks: times that a training may go back to its last good state, with other random numbers and
            half the learning rate; 0 neither looks nor goes back.
        every: steps between two states that are kept for that.
        energy_l2: weight of the mean squared energy of data and samples (Du & Mordatch 2019, IGEBM), in
            steps that have samples.
        gradient_norm: largest norm of an update's gradient, which is shortened to it; 0 for any.
        warm_up: share of the training over which the learning rate rises from 0, with a constant schedule.

    Raises:
        UserError: a value is out of its range.
    """

    rollbacks: int = 3
    every: int = 200
    energy_l2: float = 0.0
    gradient_norm: float = 0.0
    warm_up: float = 0.0

    def __post_init__(self) -> None:
        check_ranges(self, {"rollbacks": (0, math.inf), "every": (1, math.inf), "warm_up": (0.0, 1.0)})
        check_ranges(self, dict.fromkeys(("energy_l2", "gradient_norm"), (0.0, math.inf)))


@dataclass(frozen=True)
class Rollback:
    """One return to a good state.

    Attributes:
        step: at which the training had run away.
        back_to: step of the state that it went back to.
        reason: how it showed.
    """

    step: int
    back_to: int
    reason: str


@dataclass
class Guard:
    """Watches one training, keeps its last good state, and takes it back.

    Attributes:
        averages: running means of |gen| and |energy|, each with its weight so far.
        stuck: steps in a row that a term has been where nothing is learned.
        done: rollbacks so far.
        good: the state to go back to.
    """

    config: StabilityConfig
    averages: dict[str, tuple[float, float]] = field(default_factory=dict)
    stuck: int = 0
    done: list[Rollback] = field(default_factory=list)
    good: dict[str, Any] | None = None

    @property
    def factor(self) -> float:
        """Of every learning rate: half for each rollback."""
        return 0.5 ** len(self.done)

    def keep(self, trainer: "Trainer") -> None:
        """Before a step: keep the state where one is due.

        Raises:
            DivergedError: the chains have run to the ends of their range.
        """
        if not self.config.rollbacks or trainer.step % self.config.every or self.stuck:
            return
        saturation = 0.0 if trainer.buffer is None else trainer.buffer.saturation()
        if trainer.world.largest(saturation)[0] >= _SATURATED:
            raise DivergedError("the chains' pixels are all black or white")
        now = {**training_state(trainer), "spent": 0.0, "guard": None, "averages": self.averages}
        self.good = copy.deepcopy(now)

    def check(self, terms: dict[str, float], energy: float | None, progress: float, classes: int) -> None:
        """After the terms of a step are known, before they change anything.

        Args:
            terms: nats.
            energy: mean of the samples, nats; None without samples.
            progress: share of the training done.
            classes: number of clusters.

        Raises:
            DivergedError: the training has run away, or it learns nothing and may still be taken back.
        """
        if not self.config.rollbacks:
            return
        self._check_scale("gen", terms.get("gen"), _GEN_RATIO, _GEN_DECAY)
        self._check_scale("the samples' mean energy", energy, _ENERGY_RATIO, _ENERGY_DECAY)
        flat = _STUCK * math.log(classes) if classes > 1 else math.inf
        lowest = [name for name in ("inv", "swav") if terms.get(name, 0.0) >= flat]
        self.stuck = self.stuck + 1 if lowest and progress >= _STUCK_FROM else 0
        if self.stuck > _STUCK_FOR and len(self.done) < self.config.rollbacks:
            raise DivergedError(f"{lowest[0]} stays at ln {classes}: every posterior is uniform")

    def _check_scale(self, name: str, value: float | None, ratio: float, decay: float) -> None:
        if value is None:
            return
        mean, weight = self.averages.get(name, (0.0, 0.0))
        scale = max(_SCALE, mean / weight if weight else 0.0)
        if abs(value) > ratio * scale:
            raise DivergedError(f"{name} is {value:.4g} nats, {ratio:g} times its usual size of {scale:.4g}")
        self.averages[name] = decay * mean + (1 - decay) * abs(value), decay * weight + 1 - decay

    def roll_back(self, trainer: "Trainer", error: DivergedError) -> None:
        """Bring a trainer to its last good state, with other random numbers and half the learning rate.

        Raises:
            DivergedError: there is no such state, or it has been done as often as it may be.
        """
        if self.good is None or len(self.done) >= self.config.rollbacks:
            count = len(self.done)
            again = f" after {count} rollback{'s' if count > 1 else ''}" if count else ""
            raise DivergedError(
                f"the training ran away at step {trainer.step + 1}{again}: {error}; lower learning_rate, or "
                "use --stabilise default"
            ) from error
        self.done.append(Rollback(trainer.step + 1, self.good["step"], str(error)))
        good = copy.deepcopy(self.good)
        self.averages, self.stuck = good.pop("averages"), 0
        restore(trainer, good)
        trainer.generator.manual_seed(trainer.seed + _SEED_STRIDE * len(self.done))

    def state(self) -> dict[str, Any]:
        """All of it, for a file."""
        done = [asdict(rollback) for rollback in self.done]
        return {"averages": self.averages, "stuck": self.stuck, "done": done, "good": self.good}

    def restore(self, state: dict[str, Any]) -> None:
        """What :meth:`state` described."""
        self.averages, self.stuck, self.good = state["averages"], state["stuck"], state["good"]
        self.done = [Rollback(**rollback) for rollback in state["done"]]
