"""One function per term of the objective: tensors in, a scalar in nats out.

The terms are those of the paper's lower bound; the trainer adds them with a method's weights.
"""

import math

import torch
from torch import Tensor

from nesy_gedi.gedi.networks import energy_of


def generative(data_logits: Tensor, sample_logits: Tensor) -> Tensor:
    """GEN: mean energy of the data minus mean energy of the sampler's images, both ``(batch, classes)``.

    Its gradient is that of the negative log-likelihood when the samples follow p(x). No optimum:
    it is 0 when data and samples have the same mean energy.
    """
    return energy_of(data_logits).mean() - energy_of(sample_logits).mean()


def squared_energy(data_logits: Tensor, sample_logits: Tensor) -> Tensor:
    """Mean squared energy of data plus that of samples, nats², both ``(batch, classes)``."""
    return energy_of(data_logits).square().mean() + energy_of(sample_logits).square().mean()


def invariance(logits: Tensor, other_logits: Tensor) -> Tensor:
    """INV: cross-entropy CE(p(y|x'), p(y|x)) between two views ``(batch, classes)``.

    Gradients go through both. Optimum 0: the views agree and are certain; ln c when both are uniform.
    """
    return -(other_logits.softmax(1) * logits.log_softmax(1)).sum(1).mean()


def log_marginal(log_posterior: Tensor) -> Tensor:
    """Log of the batch mean of p(y|x): ``(batch, classes)`` to ``(classes,)``, finite in log space."""
    return log_posterior.logsumexp(0) - math.log(len(log_posterior))


def prior_cross_entropy(log_posterior: Tensor, log_prior: Tensor) -> Tensor:
    """PRIOR of GEDI: CE(prior, batch mean of p(y|x)), nats; optimum H(prior), ln c for a uniform one.

    Args:
        log_posterior: ``(batch, classes)``.
        log_prior: ``(classes,)``.
    """
    return -(log_prior.exp() * log_marginal(log_posterior)).sum()


def prior_entropy(log_posterior: Tensor, log_prior: Tensor) -> Tensor:
    """PRIOR of the combined run: KL(batch mean || prior) - ln c, nats; optimum -ln c.

    For a uniform prior that is minus the entropy of the batch mean. Unlike the cross-entropy it is
    bounded, so that it does not fight an emptied cluster at any price.

    Args:
        log_posterior: ``(batch, classes)``.
        log_prior: ``(classes,)``.
    """
    marginal = log_marginal(log_posterior)
    return (marginal.exp() * (marginal - log_prior)).sum() - math.log(len(log_prior))


def constraint(log_probability: Tensor) -> Tensor:
    """NESY: mean of -log p(constraint | images) over ``(batch,)``; optimum 0."""
    return -log_probability.mean()


def entropy(probabilities: Tensor) -> float:
    """Entropy of ``(classes,)`` in nats, with 0 ln 0 = 0."""
    return float(torch.special.entr(probabilities).sum())


PRIORS = {"cross-entropy": prior_cross_entropy, "entropy": prior_entropy}
"""The two forms of the prior term, by the name that a method gives."""
