"""How far a run has come, as one table that can be written to a file and read from it."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig
from nesy_gedi.gedi.trainer import Trainer
from nesy_gedi.gedi.training_state import restore, training_state
from nesy_gedi.results import Attempt, SeedResult, rollbacks_from

State = dict[str, Any]
_TOLD = ("terms", "satisfied", "collapsed", "excess", "probabilities")  # by an attempt, beside its network


@dataclass
class SeedProgress:
    """How far the trainings of one seed have come.

    Attributes:
        attempts: finished trainings that were not good enough.
        terms: of the training under way: mean of each term over the last epoch in which it counted, nats.
        trainer: of the training under way.
        started: when all this began, on :func:`time.perf_counter`'s clock, without pauses.
        saved: state of the training under way to go on from, of every process.
    """

    attempts: list[Attempt] = field(default_factory=list)
    terms: dict[str, float] = field(default_factory=dict)
    trainer: Trainer | None = None
    started: float = field(default_factory=time.perf_counter)
    saved: list[State] | None = None

    @property
    def seconds(self) -> float:
        """Seconds spent on this seed."""
        return time.perf_counter() - self.started

    def begin(self, trainer: Trainer) -> None:
        """The next training: a new one, or the one that was saved."""
        self.trainer = trainer
        if self.saved is None:
            self.terms = {}
        else:
            restore(trainer, self.saved[trainer.world.rank])
            self.saved = None

    def state(self) -> State:
        """All of it, for a file; processes that train together must all ask, and the first one has it."""
        return {
            "attempts": [_attempt_state(attempt) for attempt in self.attempts],
            "terms": self.terms,
            "seconds": self.seconds,
            "trainer": self.trainer and self.trainer.world.all_of(training_state(self.trainer)),
        }

    @classmethod
    def from_state(cls, state: State, network: NetworkConfig, precision: str) -> "SeedProgress":
        """What :meth:`state` described."""
        attempts = [_attempt(attempt, network, precision) for attempt in state["attempts"]]
        started = time.perf_counter() - state["seconds"]
        return cls(attempts, state["terms"], None, started, state["trainer"])


@dataclass
class RunProgress:
    """How far a run over several seeds has come.

    Attributes:
        results: of finished seeds.
        best: the finished seeds' best training, by what the training itself says, and its seed's place.
        seed: of the seed under way.
        lines: lines of the metrics log that belong to all this.
    """

    results: list[SeedResult] = field(default_factory=list)
    best: tuple[int, Attempt] | None = None
    seed: SeedProgress = field(default_factory=SeedProgress)
    lines: int = 0

    def finish_seed(self, result: SeedResult, attempt: Attempt) -> None:
        """Take in a finished seed, and begin the next."""
        if self.best is None or attempt.merit > self.best[1].merit:
            self.best = len(self.results), attempt
        self.results.append(result)
        self.seed = SeedProgress()

    def state(self) -> State:
        """All of it, for a file."""
        best = self.best and {"place": self.best[0], **_attempt_state(self.best[1])}
        results = json.dumps([result.row() for result in self.results])
        return {"results": results, "best": best, "seed": self.seed.state(), "lines": self.lines}

    @classmethod
    def from_state(cls, state: State, network: NetworkConfig, precision: str) -> "RunProgress":
        """What :meth:`state` described."""
        best = state["best"] and (state["best"]["place"], _attempt(state["best"], network, precision))
        seed = SeedProgress.from_state(state["seed"], network, precision)
        results = [SeedResult.from_row(row) for row in json.loads(state["results"])]
        return cls(results, best, seed, state["lines"])


def _attempt_state(attempt: Attempt) -> State:
    told = {name: getattr(attempt, name) for name in _TOLD}
    rollbacks = [asdict(rollback) for rollback in attempt.rollbacks]
    return {"network": attempt.network.state_dict(), "rollbacks": rollbacks, **told}


def _attempt(state: Mapping[str, Any], config: NetworkConfig, precision: str) -> Attempt:
    network = GEDINetwork(config, precision)
    network.load_state_dict(state["network"])
    rollbacks = rollbacks_from(state["rollbacks"])
    return Attempt(network, rollbacks=rollbacks, **{name: state[name] for name in _TOLD})
