"""A program's constraint on given examples: their images change, their labels are known."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.examples import Readings, certain
from nesy_gedi.logic.worlds import possible

_MOST_READINGS = 2**22  # of all kinds together that are judged once and looked up from then on

LogProbability = Callable[[Mapping[str, Tensor], Tensor], Tensor]


class ExampleConstraint(nn.Module):
    """log P(query | images) of examples, each with its own labels.

    Args:
        circuit: of the program.
        readings: what is known of the examples; their classes are not looked at.
        evaluate: log-probabilities by network and answers to log P, ``(batch,)``; the circuit by default.

    Attributes:
        kinds: ``(examples,)``, int64; examples of one kind have equal labels.
    """

    def __init__(
        self, circuit: ConstraintCircuit, readings: Readings, evaluate: LogProbability | None = None
    ) -> None:
        super().__init__()
        self.circuit, self._evaluate = circuit, evaluate
        self.network = circuit.program.single_network()
        self.inputs = circuit.networks[self.network]
        self.observed = readings.observed
        self.log_observed = {
            name: certain(classes, circuit.networks[name].classes)
            for name, classes in readings.observed.items()
        }
        self.answers = readings.answers
        labels = torch.cat([readings.answers.unsqueeze(1), *readings.observed.values()], 1)
        self.labels, self.kinds = labels.unique(dim=0, return_inverse=True)
        self._table: Tensor | None = None

    def forward(self, log_posterior: Tensor, rows: Tensor) -> Tensor:
        """log P(query), nats, ``(batch,)``, of log-probabilities ``(batch, slots, classes)`` of examples.

        Args:
            log_posterior: of the network that learns.
            rows: which examples they are, ``(batch,)``.
        """
        log_probs = {name: values.to(log_posterior)[rows] for name, values in self.log_observed.items()}
        log_probs[self.network] = log_posterior
        answers = self.answers.to(log_posterior.device)[rows]
        if self._evaluate is not None:
            return self._evaluate(log_probs, answers)
        result: Tensor = self.circuit(log_probs, answers=answers)
        return result

    def satisfied(self, readings: Tensor, rows: Tensor) -> Tensor:
        """P(query) if the images read as classes ``(n, slots)`` in examples ``(n,)``: float64 ``(n,)``.

        0 or 1 for a program without probabilities of its own.
        """
        kinds = self.kinds[rows]
        slots, classes = len(self.inputs.slots), self.inputs.classes
        if slots * math.log(classes) + math.log(len(self.labels)) > math.log(_MOST_READINGS):
            return self._judge(readings, kinds)
        places = classes ** torch.arange(slots)
        if self._table is None or not self.circuit.certain:  # learned probabilities move
            every = torch.arange(classes**slots).unsqueeze(1) // places % classes
            count = len(self.labels)
            self._table = self._judge(
                every.repeat(count, 1), torch.arange(count).repeat_interleave(len(every))
            ).view(count, -1)
        return self._table[kinds, (readings * places).sum(1)]

    @torch.no_grad()
    def _judge(self, readings: Tensor, kinds: Tensor) -> Tensor:
        if self.circuit.certain:
            return self._possible(readings, kinds)
        parts = []
        for chunk, kind in zip(readings.split(20_000), kinds.split(20_000), strict=True):
            labels = self.labels[kind]
            log_probs = {self.network: certain(chunk, self.inputs.classes)}
            start = 1
            for name, values in self.observed.items():
                stop = start + values.shape[1]
                log_probs[name] = certain(labels[:, start:stop], self.circuit.networks[name].classes)
                start = stop
            parts.append(self.circuit(log_probs, answers=labels[:, 0]).exp())
        return torch.cat(parts).double()

    def _possible(self, readings: Tensor, kinds: Tensor) -> Tensor:
        """Whether readings satisfy a program that has no probabilities of its own, many at once."""
        labels = self.labels[kinds]
        worlds = np.full((len(readings), len(self.circuit.compiled.choices)), -1, dtype=np.int16)
        worlds[:, self.circuit.variables(self.network)] = readings.numpy()
        start = 1
        for name, values in self.observed.items():
            stop = start + values.shape[1]
            worlds[:, self.circuit.variables(name)] = labels[:, start:stop].numpy()
            start = stop
        roots = possible(self.circuit.compiled.circuit, worlds)
        return torch.from_numpy(roots[np.arange(len(worlds)), labels[:, 0].numpy()]).double()
