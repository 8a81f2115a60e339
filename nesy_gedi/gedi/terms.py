"""The table of terms: what each term of an objective is computed from, one small function for each.

A term takes what the network gave in one step and returns a scalar. ``@term`` puts it into the table under
the function's name; a row of :data:`nesy_gedi.gedi.methods.METHODS` then gives it a weight.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from nesy_gedi.gedi import baselines, objectives


@dataclass(frozen=True)
class StepOutputs:
    """What the network gave in one step.

    Attributes:
        logits: of each augmented view of the images, ``(batch, clusters)``.
        projections: the projector's output for each view, ``(batch, units)``.
        samples: logits of the sampler's images, ``(count, clusters)``, if the method needs them.
        log_prior: ``(clusters,)``.
        prior_form: a key of :data:`~nesy_gedi.gedi.objectives.PRIORS`.
        temperature: τ, by which cosine similarities were divided to give logits.
        epsilon: SwAV's ε, the smoothness of its codes.
        constraint: log-posteriors of all views ``(views * batch, clusters)`` to log P(constraint), nats.
    """

    logits: tuple[Tensor, ...]
    projections: tuple[Tensor, ...]
    samples: Tensor | None
    log_prior: Tensor
    prior_form: str = "cross-entropy"
    temperature: float = 0.1
    epsilon: float = 0.05
    constraint: Callable[[Tensor], Tensor] | None = None

    @property
    def log_posterior(self) -> Tensor:
        """log p(y|x) of all views, ``(views * batch, clusters)``."""
        return torch.cat(self.logits).log_softmax(1)


class Term(NamedTuple):
    """A row of the table.

    Attributes:
        value: the term of one step.
        views: augmented views of every image that it needs.
        optimum: its least value, nats; None where there is none, or where it depends on the data.
    """

    value: Callable[[StepOutputs], Tensor]
    views: int
    optimum: float | None


TERMS: dict[str, Term] = {}
"""Every term by its name."""


def term(
    views: int = 1, optimum: float | None = None
) -> Callable[[Callable[[StepOutputs], Tensor]], Callable[[StepOutputs], Tensor]]:
    """Put a function into the table of terms under its own name.

    Args:
        views: augmented views of every image that it compares.
        optimum: its least value, nats, if there is one.

    Returns:
        The decorator of a function from a step's outputs to a scalar.
    """

    def register(value: Callable[[StepOutputs], Tensor]) -> Callable[[StepOutputs], Tensor]:
        TERMS[value.__name__] = Term(value, views, optimum)
        return value

    return register


@term()
def gen(step: StepOutputs) -> Tensor:
    """Energy of the data minus energy of the sampler's images, a scalar in nats; needs samples."""
    assert step.samples is not None
    return objectives.generative(torch.cat(step.logits), step.samples)


@term(views=2, optimum=0.0)
def inv(step: StepOutputs) -> Tensor:
    """Cross-entropy between the posteriors of two views, a scalar in nats."""
    return objectives.invariance(*step.logits)


@term()
def prior(step: StepOutputs) -> Tensor:
    """Cross-entropy of prior and mean posterior, a scalar in nats; the optimum is the prior's entropy."""
    return objectives.PRIORS[step.prior_form](step.log_posterior, step.log_prior)


@term()
def nesy(step: StepOutputs) -> Tensor:
    """-log P(constraint), a scalar in nats; needs a program."""
    assert step.constraint is not None
    return objectives.constraint(step.constraint(step.log_posterior))


@term(views=2)
def swav(step: StepOutputs) -> Tensor:
    """SwAV's swapped prediction, a scalar in nats; ln(clusters) when nothing is learned."""
    scores, other_scores = (logits * step.temperature for logits in step.logits)
    return baselines.swapped_prediction(scores, other_scores, step.epsilon, step.temperature)


@term(views=2, optimum=0.0)
def barlow(step: StepOutputs) -> Tensor:
    """Barlow Twins' redundancy reduction on the projector's outputs, a scalar without unit."""
    first, second = step.projections
    return baselines.redundancy_reduction(first, second)
