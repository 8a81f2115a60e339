"""Which ways of failing the terms of a run rule out, without a label.

A network that clusters can fail in three ways (Sansone & Manhaeve 2025, Table 1 and Theorem 15): it maps
all images to the same (representational collapse), it puts all images into one cluster (cluster collapse),
or it gives the views of one image different labels (label inconsistency). The terms bound how far each
has gone, and these bounds hold for their means over batches too, by Jensen's inequality:

* Two labels, drawn from the posteriors of two views, are equal with probability exp(-inv) or more. For
  a uniform posterior, inv = ln c, that is chance, 1/c.
* prior is KL(prior || batch mean) above its optimum. KL of the whole is at least that of the two events
  "the largest cluster" and "any other", so the largest share s solves kl(1/c || s) = gap at most.
* A network that is constant agrees no more often than its largest share. If exp(-inv) > s, it is not
  constant: its posterior carries at least -ln s - inv nats about the image.
* swav with balanced codes is at least KL(uniform || batch mean) and the cross-entropy of two views, so
  both bounds hold with swav in place of inv and of the gap; a constant network has ln c or more.
* barlow is at least d (1 - mean correlation)^2, and d for a constant network.
* gen is 0 for a constant network. It is 0 as well where samples match the data, so it can
  rule out, and never convict.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.special import entr, rel_entr

REPRESENTATIONAL, CLUSTER, LABEL = "representational collapse", "cluster collapse", "label inconsistency"
MODES = (REPRESENTATIONAL, CLUSTER, LABEL)

HALFWAY = 0.5
"""How far from chance, 1/c, to 1 agreement must be, and how far from balance, 1/c, to 1 the largest share
may be. Where both are just met the third bound, on the information, is just met too."""

_ONE_CLUSTER = "not decided: one cluster holds all images, whatever the network is"

LEAST_INFORMATION = 0.05
"""Nats. A constant network carries 0 exactly, but for rounding; one at its start a few thousandths."""

LEAST_CORRELATION = 0.05
"""Mean correlation of the views' units; above the chance of batches of 400, 1/sqrt(400)."""

LEAST_ENERGY_GAP = 1e-3
"""Nats. What is left of gen for a constant network is fp32 rounding, 1e-6 for energies of about 10."""


@dataclass(frozen=True)
class Verdict:
    """What a run's terms say of one way of failing.

    Attributes:
        mode: one of ``MODES``.
        ruled_out: None if the method's terms do not decide it.
        reason: one line with the figures.
    """

    mode: str
    ruled_out: bool | None
    reason: str


@dataclass(frozen=True)
class _Run:
    """The arguments of :func:`verdicts`."""

    terms: Mapping[str, float]
    optima: Mapping[str, float | None]
    classes: int
    units: int


def verdicts(
    terms: Mapping[str, float],
    optima: Mapping[str, float | None],
    classes: int,
    units: int | None = None,
) -> list[Verdict]:
    """A verdict per failure mode, in the order of ``MODES``.

    Args:
        terms: value of each term that the method has (nats): gen, inv, prior, swav, barlow; others are
            ignored.
        optima: least value of each term, None if it has none. That of prior is H(prior) for the
            cross-entropy and below 0 for the entropy form, whose prior is taken as uniform; ln c if absent.
        classes: number of clusters, or of swav's prototypes.
        units: of the projection that barlow sees; ``classes`` if absent.
    """
    run = _Run(terms, optima, classes, units or classes)
    return [decide(run) for decide in (_representational, _cluster, _label)]


def ruled_out_at(
    metrics: Sequence[Mapping[str, Any]],
    optima: Mapping[str, float | None],
    classes: int,
    units: int | None = None,
) -> dict[str, int | None]:
    """The epoch from which on each mode stays ruled out to the end; None if it is not at the end.

    Args:
        metrics: the epochs of one training in order, each with ``epoch`` and ``terms``.
        optima: as in :func:`verdicts`.
        classes: as in :func:`verdicts`.
        units: as in :func:`verdicts`.
    """
    first: dict[str, int | None] = dict.fromkeys(MODES)
    for line in metrics:
        for verdict in verdicts(line["terms"], optima, classes, units):
            if not verdict.ruled_out:
                first[verdict.mode] = None
            elif first[verdict.mode] is None:
                first[verdict.mode] = line["epoch"]
    return first


def largest_share(gap: float, optimum: float, classes: int) -> float:
    """The largest share that one cluster can have on average, in (0, 1], by how far prior is off.

    Args:
        gap: nats above the optimum; ``inf`` and NaN give 1.
        optimum: H(prior) for the cross-entropy form, which also bounds the prior's own largest share;
            below 0 for the entropy form.
        classes: number of clusters.
    """
    if optimum < 0:
        return _largest(1 / classes, lambda share: _binary_kl(share, 1 / classes) > gap)
    balance = _largest(1 / classes, lambda share: _largest_entropy(share, classes) < optimum)
    return _largest(balance, lambda share: _binary_kl(balance, share) > gap)


def _representational(run: _Run) -> Verdict:
    for proof in _signs_of_variety(run):
        return Verdict(REPRESENTATIONAL, True, proof)
    for sign in _signs_of_a_constant(run):
        return Verdict(REPRESENTATIONAL, False, sign)
    if "gen" in run.terms:
        reason = f"gen is {run.terms['gen']:.3g}: 0 for a constant network, and where samples match the data"
        return Verdict(REPRESENTATIONAL, None, reason)
    return Verdict(
        REPRESENTATIONAL,
        None,
        _ONE_CLUSTER if run.classes == 1 else _absent("gen, and not both inv and prior"),
    )


def _signs_of_variety(run: _Run) -> Iterator[str]:
    """What a constant network could not have done, the strongest first."""
    terms = run.terms
    information = {}
    if {"inv", "prior"} <= terms.keys():
        information["inv and prior"] = -math.log(_prior_share(run)) - terms["inv"]
    if "swav" in terms:
        information["swav"] = math.log(run.classes) - terms["swav"]
    for source, nats in information.items():
        if nats >= LEAST_INFORMATION:
            yield f"by {source}, the posterior carries {nats:.2f} nats or more about the image"
    if "barlow" in terms:
        correlation = 1 - math.sqrt(terms["barlow"] / run.units)
        if correlation >= LEAST_CORRELATION:
            yield f"by barlow, the units of two views correlate {correlation:.2f} or more"
    if abs(terms.get("gen", 0.0)) >= LEAST_ENERGY_GAP:
        yield f"data and samples differ in energy: gen is {terms['gen']:.3g}, for a constant network 0"


def _signs_of_a_constant(run: _Run) -> Iterator[str]:
    """Terms that stand where a constant network could have left them."""
    if "barlow" in run.terms:
        yield f"barlow is stuck at d = {run.units}: it is {run.terms['barlow']:.4g}, nothing is learned"
    if run.classes == 1:
        return  # every network gives the one posterior there is
    if "swav" in run.terms:
        yield _swav_stuck(run)
    if {"inv", "prior"} <= run.terms.keys():
        values = f"inv is {run.terms['inv']:.3f}, prior {run.terms['prior']:.3f}"
        yield f"{values}: a network that gives every image the same posterior could have both"


def _cluster(run: _Run) -> Verdict:
    if run.classes == 1:
        return Verdict(CLUSTER, None, _ONE_CLUSTER)
    if "prior" in run.terms:
        share, name, optimum = _prior_share(run), "prior", _prior_optimum(run)
    elif "swav" in run.terms:
        log_classes = math.log(run.classes)
        share, name, optimum = largest_share(run.terms["swav"], log_classes, run.classes), "swav", 0.0
    else:
        return Verdict(CLUSTER, None, _absent("prior"))
    value = f"{name} is {run.terms[name]:.3f}, its optimum {optimum:.3f}"
    return Verdict(CLUSTER, share <= _halfway(run), f"no cluster holds more than {share:.1%}: {value}")


def _label(run: _Run) -> Verdict:
    if run.classes == 1:
        return Verdict(LABEL, None, _ONE_CLUSTER)
    name = "inv" if "inv" in run.terms else "swav"
    if name not in run.terms:
        return Verdict(LABEL, None, _absent("inv"))
    agreement = math.exp(-run.terms[name])
    value = f"{name} is {run.terms[name]:.3f}, its optimum 0"
    reason = f"two views get the same label {agreement:.1%} of the time or more: {value}"
    return Verdict(LABEL, agreement >= _halfway(run), reason)


def _halfway(run: _Run) -> float:
    return 1 / run.classes + HALFWAY * (1 - 1 / run.classes)


def _prior_optimum(run: _Run) -> float:
    optimum = run.optima.get("prior")
    return math.log(run.classes) if optimum is None else optimum


def _prior_share(run: _Run) -> float:
    optimum = _prior_optimum(run)
    return largest_share(run.terms["prior"] - optimum, optimum, run.classes)


def _swav_stuck(run: _Run) -> str:
    value = f"swav is {run.terms['swav']:.3f}, ln({run.classes}) is {math.log(run.classes):.3f}"
    if run.terms["swav"] > math.log(run.classes) + LEAST_INFORMATION:
        return f"worse than ln({run.classes}), where every image has the same posterior: {value}"
    return f"stuck at ln({run.classes}): every image has the same posterior: {value}"


def _absent(terms: str) -> str:
    return f"not decided: the method has no {terms}"


def _binary_kl(p: float, q: float) -> float:
    """KL between two coins, nats; infinite where q cannot give what p does."""
    return float(rel_entr(p, q) + rel_entr(1 - p, 1 - q))


def _largest_entropy(share: float, classes: int) -> float:
    """Entropy of a distribution with one share given and the others equal: the most it can be."""
    return float(entr(share) + entr(1 - share)) + (1 - share) * math.log(max(classes - 1, 1))


def _largest(low: float, exceeds: Callable[[float], bool]) -> float:
    """The largest number in [low, 1] that does not exceed a bound, by bisection."""
    high = 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if exceeds(middle):
            high = middle
        else:
            low = middle
    return high
