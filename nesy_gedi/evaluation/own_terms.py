"""The terms that a run wrote down, beside their optima, and what they rule out: measures without labels."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from nesy_gedi.evaluation.failures import ruled_out_at, verdicts
from nesy_gedi.evaluation.subject import Subject, recorded
from nesy_gedi.gedi.methods import Method
from nesy_gedi.gedi.objectives import entropy
from nesy_gedi.gedi.terms import TERMS

Terms = Mapping[str, float]


def optima_of(
    method: Method, classes: int, log_prior: Tensor | None = None, certain: bool = False
) -> dict[str, float | None]:
    """Optimum of each of a method's terms, nats; None where there is none.

    Args:
        method: its weights decide which terms there are.
        classes: number of clusters.
        log_prior: ``(classes,)``; None for a uniform one.
        certain: the program's constraint can hold for sure.
    """
    optima = {name: term.optimum for name, term in TERMS.items() if method.uses(name)}
    if "prior" in optima:
        optima["prior"] = math.log(classes) if log_prior is None else entropy(log_prior.exp())
        if method.prior_form == "entropy":
            optima["prior"] = -math.log(classes)
    if "nesy" in optima and certain:
        optima["nesy"] = 0.0
    return optima


def terms_by_seed(path: Path) -> dict[int, dict[str, float]] | None:
    """Each seed's terms at its end, nats, from ``result.json``; None if they are not there, or damaged."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["seeds"]
        found = {int(row["seed"]): {str(k): float(v) for k, v in row["terms"].items()} for row in rows}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return found or None


def logged_epochs(path: Path, seed: int) -> dict[int, list[dict[str, Any]]]:
    """The lines of ``metrics.jsonl`` of a seed, by attempt, in order.

    Where a training went back over epochs, their last lines count.

    Raises:
        OSError, ValueError, KeyError, TypeError: the file is not there, or damaged.
    """
    attempts: dict[int, list[dict[str, Any]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["seed"] == seed:
            epochs = attempts.setdefault(row["attempt"], [])
            while epochs and epochs[-1]["epoch"] >= row["epoch"]:
                epochs.pop()
            epochs.append(row)
    return attempts


def epochs_of(path: Path, seed: int, terms: Terms) -> list[dict[str, Any]]:
    """The epochs of the training that ended with these terms, from ``metrics.jsonl``; none if not there.

    A seed may have been begun anew, and not the last attempt be the one that was kept. A term keeps its last
    value where it no longer counts, as it does in ``result.json``.

    Returns:
        The log's lines, each with all ``terms`` so far, in order.
    """
    wanted = _text(terms)  # as text, in which NaN equals NaN
    try:
        for rows in logged_epochs(path, seed).values():
            so_far: dict[str, float] = {}
            epochs = [{**row, "terms": (so_far := {**so_far, **row["terms"]})} for row in rows]
            if _text(so_far) == wanted:
                return epochs
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return []


def failure_figures(
    terms: Terms,
    epochs: Sequence[Mapping[str, Any]],
    optima: Mapping[str, float | None],
    classes: int,
    units: int,
) -> dict[str, Any]:
    """A training's terms beside their optima, and for each failure mode the verdict.

    Args:
        terms: at its end, nats.
        epochs: as :func:`epochs_of` gives them.
        optima: of the terms, nats.
        classes: number of clusters.
        units: of the projection.

    Returns:
        ``terms``: ``value`` and ``optimum`` of each. ``verdicts``: ``ruled_out`` (None if not decided),
        ``from_epoch``, from which on it stays ruled out to the end (None if it is not, or not known), and
        ``reason``.
    """
    since = ruled_out_at(epochs, optima, classes, units)
    found = {
        verdict.mode: {
            "ruled_out": verdict.ruled_out,
            "from_epoch": since[verdict.mode],
            "reason": verdict.reason,
        }
        for verdict in verdicts(terms, optima, classes, units)
    }
    beside = {name: {"value": value, "optimum": optima.get(name)} for name, value in terms.items()}
    return {"terms": beside, "verdicts": found}


def missing_terms(subject: Subject, result: Path) -> str:
    """What :func:`failures` lacks, in words; empty if nothing."""
    if subject.domain is not None:
        return "a run without a program, the optima of whose terms follow from its settings"
    if terms_by_seed(result) is None:
        return f"the terms in {result}, which is not there, or damaged"
    return ""


def failures(subject: Subject, result: Path, metrics: Path) -> dict[str, Any]:
    """:func:`failure_figures` of every seed of a run without a program, as ``seed 0``, ….

    Args:
        subject: its network has the sizes, its description the method.
        result: the run's ``result.json``, with terms in it.
        metrics: its ``metrics.jsonl``; only since when is not known without it.

    Raises:
        UserError: another version wrote the run.
    """
    network = subject.network.config
    keys = ("config", "method")
    weights, form = (recorded(subject.description, subject.run, *keys, k) for k in ("weights", "prior_form"))
    optima = optima_of(Method(weights=weights, prior_form=form), network.classes)
    found = {}
    for seed, terms in (terms_by_seed(result) or {}).items():
        epochs = epochs_of(metrics, seed, terms)
        figures = failure_figures(
            terms, epochs, optima, network.classes, network.projection or network.classes
        )
        settings = {"of": result.name, "clusters": network.classes, "epochs": len(epochs)}
        remark = f"{metrics.name} does not hold this training, so since when is not known"
        found[f"seed {seed}"] = {**figures, "settings": settings, "remarks": [] if epochs else [remark]}
    return found


def _text(terms: Terms) -> str:
    return json.dumps({name: float(value) for name, value in terms.items()}, sort_keys=True)
