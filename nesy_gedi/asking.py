"""``nesy-gedi query``: a trained run answers ProbLog queries about image files."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from problog.logic import Term, Var
from torch import Tensor

from nesy_gedi.data.files import read_image
from nesy_gedi.errors import UserError
from nesy_gedi.gedi.checkpoint import load_run
from nesy_gedi.gedi.networks import GEDINetwork
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.declarations import is_observed
from nesy_gedi.logic.examples import certain
from nesy_gedi.logic.limits import Limits
from nesy_gedi.logic.program import parse_program
from nesy_gedi.logic.source import Source


@dataclass(frozen=True)
class Answer:
    """What a run says to a query.

    Attributes:
        query: as asked.
        probabilities: of each answer, by its text; of ``true`` if the query has no free symbol.
        explained: for the most probable answer: the most probable reading of each image, its
            probability given the answer, and each image's own marginals.
    """

    query: str
    probabilities: dict[str, float]
    explained: dict[str, Any]

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps({"query": self.query, "probabilities": self.probabilities, **self.explained})

    def lines(self, explain: bool) -> list[str]:
        """For a terminal, the most probable answer first."""
        ranked = sorted(self.probabilities.items(), key=lambda item: -item[1])
        lines = [f"{probability:.4f}  {text}" for text, probability in ranked]
        if explain:
            reading = ", ".join(f"{image} as {symbol}" for image, symbol in self.explained["reading"].items())
            lines.append(f"given {ranked[0][0]}, the images read: {reading}")
            lines.append(f"with probability {self.explained['reading_probability']:.4f}; each by itself:")
            for image, marginals in self.explained["marginals"].items():
                best = sorted(marginals.items(), key=lambda item: -item[1])[:3]
                lines.append(f"  {image}: " + ", ".join(f"{symbol} {p:.4f}" for symbol, p in best))
        return lines


def ask(run: str, query: str, timeout: float = 60.0) -> Answer:
    """Ask a run's network and program about image files.

    Args:
        run: the run's folder.
        query: an atom of the run's program with file names for images, ``addition("a.png", "b.png", Z)``.
            Names of one file are one image, however they are written.
        timeout: for grounding and compiling, seconds.

    Raises:
        UserError: there is no such run, it was trained without a program, an image cannot be read, or the
            program itself names one under another name than the query.
        ProgramError: the query does not fit the program, or can never hold.
    """
    network, description = load_run(run)
    if not description.get("program"):
        raise UserError(
            f"{run} was trained without a program: name its clusters first, `nesy-gedi name {run}`"
        )
    source = Source(Path(run) / "program.pl", description["program"])
    trusted = bool(description["request"].get("trust_program"))
    program = parse_program(source, query, trusted)
    if program.slots:
        raise UserError(
            f"{program.slots[0]} in {query} stands for an image: give a file name in double quotes, as in "
            '\'addition("a.png", "b.png", Z)\''
        )
    once = _one_name_a_file(program.query)
    if once != program.query:
        program = parse_program(source, str(once), trusted)
    circuit = ConstraintCircuit(program, limits=Limits(timeout))
    circuit.probabilities.assign(description.get("probabilities", {}))
    log_probs = {name: _log_probs(circuit, name, network) for name in circuit.networks}
    with torch.no_grad():
        values = circuit(log_probs).flatten()
    best = values.argmax().unsqueeze(0) if circuit.answers else None
    names = circuit.answers or ("true",)
    probabilities = dict(zip(names, values.exp().tolist(), strict=True))
    return Answer(query, probabilities, _explanation(circuit, log_probs, best))


def _file(name: str) -> str:
    """The real path of the image file that a term names."""
    return os.path.realpath(name.strip("\"'"))


def _one_name_a_file(query: Term) -> Term:
    """The query with the first of a file's names in place of its others: one image has one reading."""
    names: dict[str, Term] = {}  # by real path

    def renamed(term: Term) -> Term:
        if not isinstance(term, Term) or isinstance(term, Var):
            return term
        if term.args:
            return term.with_args(*(renamed(argument) for argument in term.args))
        path = _file(str(term))
        return names.setdefault(path, term) if os.path.isfile(path) else term

    return query.with_args(*(renamed(argument) for argument in query.args))


def _log_probs(circuit: ConstraintCircuit, name: str, network: GEDINetwork) -> Tensor:
    """Log-probabilities ``(1, inputs, classes)``: images by the network, observed symbols as given."""
    inputs = circuit.networks[name]
    slots = [circuit.slots[slot] for (slot,) in inputs.slots]
    if is_observed(name):
        wrong = [slot for slot in slots if slot not in inputs.domain]
        if wrong:
            raise UserError(
                f"{wrong[0]} is not one of {', '.join(inputs.domain)}: give the symbol that is known"
            )
        return certain(torch.tensor([[inputs.domain.index(slot) for slot in slots]]), inputs.classes)
    names: dict[str, str] = {}  # by real path
    for slot in slots:
        other = names.setdefault(_file(slot), slot)
        if other != slot:
            raise UserError(
                f"{other} and {slot} are one file, but would be two images of {circuit.program.query}: write "
                "its name as the program does"
            )
    config = network.config
    images = torch.stack(
        [
            read_image(Path(slot.strip("\"'")), config.channels, config.image_height, config.image_width)
            for slot in slots
        ]
    )
    with torch.no_grad():
        logits: Tensor = network(images.float() / 255)
    return logits.log_softmax(1).unsqueeze(0)


def _explanation(
    circuit: ConstraintCircuit, log_probs: dict[str, Tensor], answer: Tensor | None
) -> dict[str, Any]:
    explanation = circuit.most_probable(log_probs, answers=answer)
    marginals = circuit.marginals(log_probs, answers=answer)
    assert isinstance(marginals, dict)
    reading: dict[str, str] = {}
    shares: dict[str, dict[str, float]] = {}
    for name, inputs in circuit.networks.items():
        if not is_observed(name):
            for k, (slot,) in enumerate(inputs.slots):
                text = circuit.slots[slot]
                reading[text] = inputs.domain[int(explanation.classes[name][0, k])]
                shares[text] = dict(zip(inputs.domain, marginals[name][0, k].tolist(), strict=True))
    probability = float(explanation.log_posterior.exp())
    return {"reading": reading, "reading_probability": probability, "marginals": shares}
