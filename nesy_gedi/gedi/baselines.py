"""Terms of the methods that GEDI is compared with: tensors in, a scalar out, as in :mod:`objectives`.

SwAV: Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments", 2020.
Barlow Twins: Zbontar et al., "Barlow Twins: Self-Supervised Learning via Redundancy Reduction", 2021.
"""

import torch
from torch import Tensor


@torch.no_grad()
def sinkhorn_knopp(scores: Tensor, epsilon: float, iterations: int = 3) -> Tensor:
    """SwAV's codes: the scores as an assignment in which all prototypes get equally much (Eq. 3-5).

    Each iteration gives every prototype the same total, then every image the total 1. All of it is in
    log space: ``exp(score / epsilon)`` overflows fp32 from epsilon = 0.01 on for cosine similarities.

    Args:
        scores: ``(batch, prototypes)``, cosine similarities of projections and prototypes.
        epsilon: weight of the entropy; the smaller, the closer the codes are to one-hot.
        iterations: rounds; with many of them every prototype gets ``batch / prototypes``.

    Returns:
        Codes ``(batch, prototypes)`` whose rows sum to 1, without gradient.
    """
    # fp64, since fp32 has no decimals left where score / epsilon is 1e5.
    log_codes = scores.double() / epsilon
    for _ in range(iterations):
        log_codes = log_codes.log_softmax(0).log_softmax(1)
    return log_codes.softmax(1).to(scores.dtype)


def swapped_prediction(
    scores: Tensor, other_scores: Tensor, epsilon: float, temperature: float, iterations: int = 3
) -> Tensor:
    """SWAV: cross-entropy of one view's codes and the other's softmax, in nats, mean of both ways (Eq. 1-2).

    Optimum 0: views agree, are certain and use all prototypes alike. Where all images have the same scores
    the codes are uniform and the term is ln(prototypes) or more.

    Args:
        scores: ``(batch, prototypes)``, cosine similarities of one view.
        other_scores: the same of the other view.
        epsilon: of :func:`sinkhorn_knopp`.
        temperature: the scores are divided by it before the softmax.
        iterations: of :func:`sinkhorn_knopp`.
    """

    def predict(codes_from: Tensor, predict_from: Tensor) -> Tensor:
        codes = sinkhorn_knopp(codes_from, epsilon, iterations)
        return -(codes * (predict_from / temperature).log_softmax(1)).sum(1).mean()

    return (predict(scores, other_scores) + predict(other_scores, scores)) / 2


def cross_correlation(z: Tensor, other: Tensor, eps: float = 1e-5) -> Tensor:
    """Correlation of every unit of one view with every unit of the other, over the batch (Barlow Eq. 2).

    Args:
        z: projections ``(batch, d)`` of one view.
        other: the same of the other view.
        eps: added to the variance, as in batch normalisation: a unit that never changes correlates 0.

    Returns:
        ``(d, d)``, in [-1, 1].
    """

    def standardised(units: Tensor) -> Tensor:
        variance, mean = torch.var_mean(units, dim=0, correction=0)
        return (units - mean) / (variance + eps).sqrt()

    return standardised(z).T @ standardised(other) / len(z)


def redundancy_reduction(z: Tensor, other: Tensor, off_diagonal_weight: float = 0.005) -> Tensor:
    """BARLOW: squared distance of the cross-correlation to the identity (Eq. 1); no unit.

    Optimum 0: every unit is the same in both views and uncorrelated with the others. Where nothing is
    learned it is d: a network that gives the same for all images correlates 0.

    Args:
        z: projections ``(batch, d)`` of one view.
        other: the same of the other view.
        off_diagonal_weight: the paper's lambda.
    """
    correlation = cross_correlation(z, other)
    diagonal = correlation.diagonal()
    off_diagonal = correlation.square().sum() - diagonal.square().sum()
    return (1 - diagonal).square().sum() + off_diagonal_weight * off_diagonal
