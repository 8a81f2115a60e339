"""``nesy-gedi query``: a trained run answers ProbLog queries about image files."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from problog.logic import Term, Var
from torch import Tensor

from nesy_gedi.errors import UserError
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.declarations import is_observed
from nesy_gedi.logic.examples import certain
from nesy_gedi.logic.limits import Limits
from nesy_gedi.trained import TrainedRun

_SHOWN = 3  # of the symbols that an image may be, on a terminal


@dataclass(frozen=True)
class Reading:
    """How one image is read.

    Attributes:
        symbol: in the most probable reading of all images, given the answer.
        alone: probability of each symbol by the network alone.
        given: probability of each symbol given the answer.
        energy: E(x), nats.
        rank: share of known images with a lower energy, in [0, 1]; None if the run does not say.
        doubt: a sentence, if the image looks like nothing that the network knows.
    """

    symbol: str
    alone: dict[str, float]
    given: dict[str, float]
    energy: float
    rank: float | None
    doubt: str | None


@dataclass(frozen=True)
class Answer:
    """What a run says to a query.

    Attributes:
        query: as asked.
        probabilities: of each answer, by its text; of ``true`` if the query has no free symbol.
        readings: of each image, for the most probable answer.
        reading_probability: of the most probable reading of all images, given the answer.
    """

    query: str
    probabilities: dict[str, float]
    readings: dict[str, Reading]
    reading_probability: float

    @property
    def ranked(self) -> list[tuple[str, float]]:
        """The answers, the most probable first."""
        return sorted(self.probabilities.items(), key=lambda item: -item[1])

    @property
    def doubts(self) -> list[str]:
        """Sentences on images that look like nothing that the network knows."""
        return [reading.doubt for reading in self.readings.values() if reading.doubt]

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False)

    def lines(self, explain: bool) -> list[str]:
        """For a terminal, the most probable answer first."""
        lines = [f"{probability:.4f}  {text}" for text, probability in self.ranked]
        if explain:
            read = ", ".join(f"{image} as {reading.symbol}" for image, reading in self.readings.items())
            lines.append(f"given {self.ranked[0][0]}, the images read: {read}")
            lines.append(f"with probability {self.reading_probability:.4f}; each by itself:")
            for image, reading in self.readings.items():
                rank = "" if reading.rank is None else f", above {reading.rank:.1%} of known images"
                lines.append(f"  {image}: {_best(reading.given)}")
                lines.append(f"    by the network alone: {_best(reading.alone)}")
                lines.append(f"    energy {reading.energy:.3f} nats{rank}")
        return lines


def _best(shares: Mapping[str, float]) -> str:
    ranked = sorted(shares.items(), key=lambda item: -item[1])[:_SHOWN]
    return ", ".join(f"{symbol} {share:.4f}" for symbol, share in ranked)


def ask(run: str, query: str, timeout: float = 60.0) -> Answer:
    """Ask a run's network and program about image files.

    Args:
        run: the run's folder.
        query: an atom of the run's program with file names for images, ``addition("a.png", "b.png", Z)``.
            Names of one file are one image, however they are written. Images of any size and colour are
            brought to what the network was trained on.
        timeout: for grounding and compiling, seconds.

    Raises:
        UserError: there is no such run, it was trained without a program, an image cannot be read, or the
            program itself names one under another name than the query.
        ProgramError: the query does not fit the program, or can never hold.
    """
    trained = TrainedRun(run)
    program = trained.program(query)
    if program.slots:
        raise UserError(
            f"{program.slots[0]} in {query} stands for an image: give a file name in double quotes, as in "
            '\'addition("a.png", "b.png", Z)\''
        )
    once = _one_name_a_file(program.query)
    if once != program.query:
        program = trained.program(str(once))
    circuit = ConstraintCircuit(program, limits=Limits(timeout))
    images: dict[str, Tensor] = {}
    symbols: dict[str, str] = {}
    for name in circuit.networks:
        slots = slots_of(circuit, name)
        if is_observed(name):
            symbols |= {slot: slot for slot in slots}
        else:
            _check_files(circuit, slots)
            images |= {slot: trained.read(Path(slot.strip("\"'"))) for slot in slots}
    return answer(trained, circuit, images, symbols, query)


def answer(
    trained: TrainedRun,
    circuit: ConstraintCircuit,
    images: Mapping[str, Tensor],
    symbols: Mapping[str, str],
    query: str,
) -> Answer:
    """What a run says of images in a query's slots.

    Args:
        trained: its network reads the images.
        circuit: of its program; learnable probabilities get the values that were learned.
        images: for each slot that a network reads, uint8 ``(channels, height, width)`` of the network's size.
        symbols: for each slot of an observed network the symbol that is known.
        query: as it was asked.

    Raises:
        UserError: a symbol is not in the domain of its network.
    """
    circuit.probabilities.assign(trained.description.get("probabilities", {}))
    names = list(images)
    look = trained.look(torch.stack([images[name] for name in names]))
    log_probs = {}
    for name, inputs in circuit.networks.items():
        slots = slots_of(circuit, name)
        if is_observed(name):
            log_probs[name] = _known(slots, symbols, inputs.domain)
        else:
            log_probs[name] = look.log_posterior[[names.index(slot) for slot in slots]].unsqueeze(0)
    with torch.no_grad():
        values = circuit(log_probs).flatten()
    best = values.argmax().unsqueeze(0) if circuit.answers else None
    probabilities = dict(zip(circuit.answers or ("true",), values.exp().tolist(), strict=True))
    explanation = circuit.most_probable(log_probs, answers=best)
    marginals = circuit.marginals(log_probs, answers=best)
    assert isinstance(marginals, dict)
    readings = {}
    for name, inputs in circuit.networks.items():
        for k, slot in enumerate([] if is_observed(name) else slots_of(circuit, name)):
            readings[slot] = Reading(
                inputs.domain[int(explanation.classes[name][0, k])],
                _shares(inputs.domain, log_probs[name][0, k].exp()),
                _shares(inputs.domain, marginals[name][0, k]),
                *trained.judged(look, names.index(slot), slot),
            )
    return Answer(query, probabilities, readings, float(explanation.log_posterior.exp()))


def slots_of(circuit: ConstraintCircuit, network: str) -> list[str]:
    """The names of the images, or symbols, that a network reads."""
    return [circuit.slots[slot] for (slot,) in circuit.networks[network].slots]


def _shares(domain: Sequence[str], shares: Tensor) -> dict[str, float]:
    return dict(zip(domain, shares.tolist(), strict=True))


def _known(slots: Sequence[str], symbols: Mapping[str, str], domain: Sequence[str]) -> Tensor:
    """Log-probabilities ``(1, slots, classes)`` of symbols that are known."""
    for slot in slots:
        if symbols[slot] not in domain:
            raise UserError(
                f"{symbols[slot]} is not one of {', '.join(domain)}: give the symbol that is known"
            )
    return certain(torch.tensor([[domain.index(symbols[slot]) for slot in slots]]), len(domain))


def _check_files(circuit: ConstraintCircuit, slots: Sequence[str]) -> None:
    names: dict[str, str] = {}  # by real path
    for slot in slots:
        other = names.setdefault(_file(slot), slot)
        if other != slot:
            raise UserError(
                f"{other} and {slot} are one file, but would be two images of {circuit.program.query}: write "
                "its name as the program does"
            )


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
