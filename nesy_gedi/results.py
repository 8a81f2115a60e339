"""What a training comes to: with labels, and what it can tell without them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from torch import Tensor

from nesy_gedi.evaluation.clustering import ClusteringScore
from nesy_gedi.gedi.networks import GEDINetwork
from nesy_gedi.gedi.stability import Rollback
from nesy_gedi.gedi.trainer import Trainer
from nesy_gedi.logic.bound import ExampleConstraint
from nesy_gedi.logic.examples import Readings


@dataclass(frozen=True)
class SeedResult:
    """One seed's outcome.

    Attributes:
        score: on the whole test set; None where there are no labels.
        seconds: wall time of training, restarts included, without scoring.
        restarts: trainings thrown away, because too few examples were satisfied or terms too large.
        terms: mean of each term over the last epoch in which it counted, nats.
        satisfied: share of the training examples whose most likely reading satisfies the program; None
            without a program.
        reads_as: for each class of the labels the one that most of its test images are read as; None
            without a program, whose names they are.
        probabilities: the program's learnable probabilities as learned.
        rollbacks: returns to an earlier state, of the training that was kept.
    """

    seed: int
    score: ClusteringScore | None
    seconds: float
    restarts: int
    terms: dict[str, float]
    satisfied: float | None
    reads_as: tuple[int, ...] | None
    probabilities: dict[str, float]
    rollbacks: tuple[Rollback, ...] = ()

    def row(self) -> dict[str, Any]:
        """All of it in one flat table, the scores by their own names (None where there are none)."""
        scores = {field.name: None for field in fields(ClusteringScore)}
        rest = {key: value for key, value in asdict(self).items() if key != "score"}
        return {**rest, **(asdict(self.score) if self.score else scores)}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "SeedResult":
        """What :meth:`row` gave, from a file too."""
        scores = {field.name: row[field.name] for field in fields(ClusteringScore)}
        rest = {key: value for key, value in row.items() if key not in scores}
        rest["reads_as"] = row["reads_as"] and tuple(row["reads_as"])
        rest["rollbacks"] = rollbacks_from(row["rollbacks"])
        return cls(score=None if None in scores.values() else ClusteringScore(**scores), **rest)


@dataclass(frozen=True)
class Examples:
    """What one network is trained on.

    Attributes:
        images: positions in the training images, ``(count, slots)``, int64.
        readings: what is known of the examples beside their images; None without a program.
    """

    images: Tensor
    readings: Readings | None


@dataclass(frozen=True)
class Attempt:
    """A finished training: its network and what the training itself can tell, without labels.

    Attributes:
        terms: mean of each term over the last epoch in which it counted, nats.
        satisfied: share of the examples satisfied; a collapsed network satisfies all sums.
        collapsed: most images lie in one cluster.
        excess: how far the terms of ``restart_above`` ended above what it allows, nats; 0 is good enough.
        probabilities: the program's learnable probabilities as learned.
        rollbacks: returns to an earlier state on the way.
    """

    network: GEDINetwork
    terms: dict[str, float]
    satisfied: float | None
    collapsed: bool
    excess: float
    probabilities: dict[str, float]
    rollbacks: tuple[Rollback, ...] = ()

    @property
    def merit(self) -> tuple[bool, float, float]:
        """What trainings are compared by, without labels; a collapsed one satisfies all sums."""
        return not self.collapsed, self.satisfied or 0.0, -self.excess


def excess(
    terms: Mapping[str, float], optima: Mapping[str, float | None], allowed: Mapping[str, float]
) -> float:
    """How far terms ended above what they may be, nats: the worst of them, 0 if all are good enough.

    Args:
        terms: mean of each over the last epoch in which it counted; one that never did is infinitely far.
        optima: of the terms; None counts as 0.
        allowed: how far above its optimum a term may be; others are not looked at.
    """
    over = [terms.get(name, math.inf) - (optima.get(name) or 0.0) - most for name, most in allowed.items()]
    return max([0.0, *over])


def rollbacks_from(rows: Sequence[Mapping[str, Any]]) -> tuple[Rollback, ...]:
    """Rollbacks from tables of their fields, as files have them."""
    return tuple(Rollback(**row) for row in rows)


def learned_probabilities(trainer: Trainer) -> dict[str, float]:
    """The program's learnable probabilities as they are now."""
    constraint = trainer.constraint
    return constraint.circuit.probabilities.described() if isinstance(constraint, ExampleConstraint) else {}
