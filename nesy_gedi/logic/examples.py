"""Positive examples of a program from a labelled image set (the paper's appendix N, for any program).

This is the only place where labels are read: to put together images that satisfy the constraint.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nesy_gedi.errors import UserError
from nesy_gedi.logic.circuit import ConstraintCircuit

_TRIES = 1000
_CHUNK = 2000  # readings drawn at once
DISTRIBUTIONS = ("readings", "answers")


class TooFewImagesError(UserError):
    """The pool cannot give the examples that were asked."""


@dataclass(frozen=True)
class Readings:
    """True readings of examples, and what else is known of them.

    Attributes:
        classes: ``(count, slots)``, int64: class of the image in each input of the network that learns.
        observed: for each observed network the classes of its inputs, ``(count, inputs)``.
        answers: ``(count,)``, the number of the query's answer; 0 if it has none.
    """

    classes: Tensor
    observed: dict[str, Tensor]
    answers: Tensor


class ExampleSource:
    """Draws readings that satisfy a program, and images for them.

    Readings are drawn uniformly from those that satisfy the program (with probabilistic facts: in
    proportion to the probability that they do), or from the program's facts ``support(…)``, if there are
    some.

    Args:
        circuit: of the program; one of its networks learns.
        distribution: ``readings``; or ``answers``: first the answer uniformly, then a reading that has it;
            or a weight for each answer, by its text.

    Raises:
        UserError: the distribution is unknown or does not fit the program.
        ProgramError: a fact ``support(…)`` does not fit.
    """

    def __init__(
        self, circuit: ConstraintCircuit, distribution: str | Mapping[str, float] = "readings"
    ) -> None:
        self.circuit = circuit
        self.network = circuit.program.single_network()
        if self.network not in circuit.networks:
            raise UserError(
                f"the query {circuit.program.query} of {circuit.program.path} never asks {self.network}: it "
                "has no examples; ask for a predicate that does"
            )
        self.inputs = circuit.networks[self.network]
        self.support = support_readings(circuit)
        self.weights = self._weights(distribution)

    def _weights(self, distribution: str | Mapping[str, float]) -> Tensor | None:
        answers = self.circuit.answers
        if distribution == "readings":
            return None
        if self.support is not None or not answers:
            why = "draws from its support(…) facts" if self.support is not None else "has no answers to weigh"
            raise UserError(f"--distribution: {self.circuit.program.path} {why}; leave it out")
        if distribution == "answers":
            return torch.ones(len(answers), dtype=torch.float64)
        if isinstance(distribution, str):
            raise UserError(
                f"unknown distribution {distribution!r}: choose {', '.join(DISTRIBUTIONS)} or ANSWER=WEIGHT,…"
            )
        weights = torch.zeros(len(answers), dtype=torch.float64)
        for text, weight in distribution.items():
            weights[self.circuit.answer_index([text])] = weight
        if not (weights.isfinite() & (weights >= 0)).all() or not weights.sum() > 0:
            raise UserError("--distribution: the weights must be finite, 0 or more, and one of them above 0")
        return weights

    def draw(self, count: int, generator: torch.Generator) -> Readings:
        """Draw ``count`` readings."""
        parts = [self._draw(min(_CHUNK, count - start), generator) for start in range(0, count, _CHUNK)]
        observed = {name: torch.cat([p.observed[name] for p in parts]) for name in parts[0].observed}
        return Readings(
            torch.cat([p.classes for p in parts]), observed, torch.cat([p.answers for p in parts])
        )

    def _draw(self, count: int, generator: torch.Generator) -> Readings:
        log_probs, answers = _anything(self.circuit, count), None
        if self.support is not None:
            rows = torch.randint(len(self.support), (count,), generator=generator)
            log_probs[self.network] = certain(self.support[rows], self.inputs.classes)
        elif self.weights is not None:
            answers = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        worlds, answers = self.circuit.sample(log_probs, generator, answers)
        return Readings(worlds.pop(self.network), worlds, answers)

    def expected_uses(self, given: Readings | None = None) -> Tensor:
        """How often each class stands in an example on average: ``(classes,)``, float64.

        Args:
            given: examples whose images have no labels; the average is then over the readings that satisfy
                them. By default that of the examples that are drawn.
        """
        if given is None and self.support is not None:
            uses = self.support.flatten().bincount(minlength=self.inputs.classes)
            return uses.double() / len(self.support)
        rows = max(1, len(self.circuit.answers)) if given is None else len(given.answers)
        log_probs = _anything(self.circuit, rows, torch.float64)
        answers = torch.arange(rows) if given is None else given.answers
        shares = torch.ones(rows, dtype=torch.float64)
        if given is not None:
            for name, classes in given.observed.items():
                log_probs[name] = certain(classes, self.circuit.networks[name].classes).double()
        elif self.weights is not None:
            shares = self.weights
        else:
            with torch.no_grad():
                shares = self.circuit(log_probs, answers=answers).softmax(0)
        marginals = self.circuit.marginals(log_probs, answers=answers)
        assert isinstance(marginals, dict)
        return (marginals[self.network].sum(1) * (shares / shares.sum()).unsqueeze(1)).sum(0)

    def sample(self, labels: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Readings]:
        """Draw examples: readings, then images of these classes, each used at most once.

        All readings are drawn anew as long as some class would need more images than there are, so they are
        what :meth:`draw` gives under the condition that the images suffice.

        Args:
            labels: class of every image of the pool, ``(n,)``, int64; -1 for images that are not used.
            count: number of examples.
            generator: source of randomness, on the CPU.

        Returns:
            Positions in the pool, ``(count, slots)``, int64; and the readings.

        Raises:
            UserError: ``count`` is below one.
            TooFewImagesError: it is above what the images can give, or no draw out of 1000 fits.
        """
        scarcest, most = self._scarcest(labels)
        name = self.inputs.domain[scarcest]
        if count < 1:
            raise UserError(f"{count} examples asked, at least 1 is needed: ask for 1 to {most}")
        if count > most:
            raise TooFewImagesError(
                f"{count} examples asked, but the {len(labels)} images of the pool give at most {most} "
                f"(class {name} runs out first): ask for at most {most} or provide more images"
            )
        available = labels[labels >= 0].bincount(minlength=self.inputs.classes)
        for _ in range(_TRIES):
            drawn = self.draw(count, generator)
            if (drawn.classes.flatten().bincount(minlength=self.inputs.classes) <= available).all():
                return _fill(drawn.classes, labels, generator), drawn
        raise TooFewImagesError(
            f"{count} examples asked: in {_TRIES} draws some class always needed more images than the pool "
            f"of {len(labels)} has; {most} would use all images of class {name}: ask for fewer"
        )

    def capacity(self, labels: Tensor) -> int:
        """The largest number of examples whose expected use of every class stays within labels ``(n,)``."""
        return self._scarcest(labels)[1]

    def _scarcest(self, labels: Tensor) -> tuple[int, int]:
        """The class that runs out first, and the number of examples after which it does."""
        uses = self.expected_uses()
        available = labels[labels >= 0].bincount(minlength=self.inputs.classes)
        used = (uses > 1e-12).nonzero()[:, 0].tolist()
        # a hair above, so that 1/3 + 1/3 + 1/3 uses of a class are one
        limits = {k: int(float(available[k]) / float(uses[k]) * (1 + 1e-9)) for k in used}
        scarcest = min(limits, key=lambda k: limits[k])
        return scarcest, limits[scarcest]


def parse_distribution(text: str) -> str | dict[str, float]:
    """``readings``, ``answers``, or ``0=1,7=2.5`` as weights of answers; of two symbols, ``0,odd=1``.

    Raises:
        UserError: a weight is missing or no number.
    """
    if "=" not in text:
        return text
    weights = {}
    symbols: list[str] = []
    for entry in text.split(","):
        answer, equals, weight = entry.rpartition("=")
        symbols.append((answer if equals else entry).strip())
        if equals:
            try:
                weights[", ".join(symbols)] = float(weight)
            except ValueError:
                raise UserError(
                    f"--distribution {text!r}: {weight!r} is no number; write ANSWER=WEIGHT,…"
                ) from None
            symbols = []
    if symbols:
        raise UserError(f"--distribution {text!r}: {', '.join(symbols)} has no weight; write ANSWER=WEIGHT,…")
    return weights


def certain(classes: Tensor, count: int) -> Tensor:
    """Log-probabilities ``(…, count)`` of classes ``(…,)`` that are certain: 0 for the class, else -inf."""
    return torch.eye(count).log()[classes]


def support_readings(circuit: ConstraintCircuit) -> Tensor | None:
    """The classes in the program's facts ``support(…)``, ``(facts, slots)``; None if there are none.

    Raises:
        ProgramError: a fact has another number of arguments than there are images, or another symbol than
            the domain, or does not satisfy the program.
    """
    program = circuit.program
    if not program.support:
        return None
    inputs = circuit.networks[program.single_network()]
    rows = []
    for fact in program.support:
        symbols = [str(argument) for argument in fact.args]
        if len(symbols) != len(inputs.slots) or any(symbol not in inputs.domain for symbol in symbols):
            raise program.source.error(
                fact,
                f"{fact} must name a symbol of [{', '.join(inputs.domain)}] for each of the "
                f"{len(inputs.slots)} images",
            )
        rows.append([inputs.domain.index(symbol) for symbol in symbols])
    readings = torch.tensor(rows)
    for fact, holds in zip(program.support, _satisfying(circuit, readings), strict=True):
        if not holds:
            raise program.source.error(
                fact, f"the reading {fact} does not satisfy the query {program.query}: mend one of them"
            )
    return readings


@torch.no_grad()
def _satisfying(circuit: ConstraintCircuit, readings: Tensor) -> list[bool]:
    """Whether readings of the network that learns are possible with some answer and some labels."""
    log_probs, name = _anything(circuit, len(readings)), circuit.program.single_network()
    log_probs[name] = certain(readings, circuit.networks[name].classes)
    values: Tensor = circuit(log_probs).view(len(readings), -1)
    return list(~values.isneginf().all(1))


def _anything(circuit: ConstraintCircuit, rows: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Weight one for every class of every image: log-weights ``(rows, inputs, classes)`` by network."""
    return {
        name: torch.zeros(rows, len(network.slots), network.classes, dtype=dtype)
        for name, network in circuit.networks.items()
    }


def _fill(readings: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    images = torch.empty_like(readings)
    for k in readings.unique().tolist():
        pool = (labels == k).nonzero()[:, 0]
        slots = readings == k
        order = torch.randperm(len(pool), generator=generator)
        images[slots] = pool[order[: int(slots.sum())]]
    return images
