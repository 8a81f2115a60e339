"""A program in a report: its text, what the audit allows and the network learned, and where it fails."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers.prolog import PrologLexer
from torch import Tensor

from nesy_gedi.auditing import audited, reading_in_words, ruled_out_by, verdict
from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.outputs import outputs_of
from nesy_gedi.logic.bound import ExampleConstraint
from nesy_gedi.logic.shortcuts import Maps
from nesy_gedi.report.material import Material
from nesy_gedi.report.pictures import Picture, picture
from nesy_gedi.request import EXAMPLES

_MOST_READINGS = 10
_WORST = 6  # examples that are shown


@dataclass(frozen=True)
class AllowedReading:
    """A way to read the symbols under which the program holds.

    Attributes:
        ruled_out: by what beside the program; empty if by nothing.
        learned: it is the one that the network has learned.
    """

    words: str
    ruled_out: str
    learned: bool


@dataclass(frozen=True)
class Audited:
    """What the audit found.

    Attributes:
        support: what it rests on, in words.
        count: number of readings; ``readings`` are the first of them.
        verdict: lines of text.
        elsewhere: the network's own reading, where it is none of ``readings``; empty if it is, or not known.
    """

    support: str
    count: int
    readings: list[AllowedReading]
    verdict: list[str]
    elsewhere: str


@dataclass(frozen=True)
class Violated:
    """A training example that the network's readings make improbable.

    Attributes:
        images: of the slots, with their names and what the network reads them as.
        known: what is known of the example beside its images, in words; empty if nothing.
        probability: that the constraint holds.
        instead: the most probable reading of each image, given that it does.
    """

    images: list[tuple[str, Picture, str]]
    known: str
    probability: float
    instead: list[str]


def highlighted(text: str) -> Markup:
    """A program's text with its syntax in classes of Pygments."""
    return Markup(highlight(text, PrologLexer(), HtmlFormatter(cssclass="program", nobackground=True)))


def style() -> str:
    """CSS for :func:`highlighted`: for light pages, then for dark ones."""
    light = HtmlFormatter(style="friendly", nobackground=True).get_style_defs(".program")
    dark = HtmlFormatter(style="github-dark", nobackground=True).get_style_defs(".program")
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}"


def audit_of(material: Material) -> Audited | str:
    """The readings that satisfy the program, and which of them was learned; or why they are not known."""
    learner = material.needed
    assert learner.circuit is not None
    domains = learner.circuit.program.domains
    try:
        found, support = audited(learner.circuit)
    except UserError as error:
        return str(error)
    best = material.record.best
    network = learner.circuit.program.single_network()
    own = {} if best is None or best.reads_as is None else {network: best.reads_as}
    marginal = found.maps(_MOST_READINGS, "marginal")
    readings = [
        AllowedReading(
            reading_in_words(maps, domains),
            "" if maps in marginal else ruled_out_by(maps),
            bool(own) and _agrees(maps, own),
        )
        for maps in found.maps(_MOST_READINGS)
    ]
    known = not own or any(reading.learned for reading in readings)
    elsewhere = "" if known else reading_in_words(own, domains)
    return Audited(support, found.count, readings, list(verdict(found, domains)), elsewhere)


def _agrees(maps: Maps, own: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether a map is what a network learned, where it says anything (-1 stands for any reading)."""
    return all(
        j in (-1, k) for name, reading in own.items() for j, k in zip(maps[name], reading, strict=True)
    )


@torch.no_grad()
def violated(material: Material) -> list[Violated]:
    """The training examples of the lowest probability, the worst first.

    Raises:
        UserError: there are no such examples to be had any more.
    """
    learner, request = material.needed, material.record.description["request"]
    examples = learner.examples(request["examples"] or EXAMPLES, material.record.kept or 0)
    constraint = learner.constraint(examples)
    assert constraint is not None
    constraint.circuit.probabilities.assign(material.trained.description.get("probabilities", {}))
    images = learner.images.train_images[examples.images]
    logits = outputs_of(material.trained.network, images.flatten(0, 1)).logits
    log_posterior = logits.log_softmax(1).view(*examples.images.shape, -1)
    log_p: Tensor = constraint(log_posterior, torch.arange(len(images)))
    worst = log_p.argsort()[:_WORST]
    log_probs = {name: values[worst] for name, values in constraint.log_observed.items()}
    log_probs[constraint.network] = log_posterior[worst]
    answers = constraint.answers[worst] if constraint.circuit.answers else None
    instead = constraint.circuit.most_probable(log_probs, answers=answers).classes[constraint.network]
    domain = constraint.inputs.domain
    slots = [constraint.circuit.slots[slot] for (slot,) in constraint.inputs.slots]
    found = []
    for row, symbols in zip(worst.tolist(), instead, strict=True):
        read = log_posterior[row].argmax(1)
        shown = [
            (slot, picture(image, f"the image of {slot}"), domain[int(k)])
            for slot, image, k in zip(slots, images[row], read, strict=True)
        ]
        known = _known(constraint, row)
        found.append(Violated(shown, known, float(log_p[row].exp()), [domain[int(k)] for k in symbols]))
    return found


def _known(constraint: ExampleConstraint, row: int) -> str:
    """What is known of an example beside its images."""
    circuit = constraint.circuit
    known = [circuit.answers[int(constraint.answers[row])]] if circuit.answers else []
    for name, classes in constraint.observed.items():
        known += [circuit.networks[name].domain[k] for k in classes[row].tolist()]
    return ", ".join(known)
