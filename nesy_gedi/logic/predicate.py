"""A trained network as a DeepProbLog neural predicate, and DeepProbLog as a reference for the circuit.

Three lines put a trained run into any DeepProbLog program::

    from nesy_gedi.gedi.checkpoint import load_network
    from nesy_gedi.logic.predicate import as_predicate, deepproblog_model
    model = deepproblog_model("my.pl", as_predicate(load_network("runs/my-run"), "mnist_net"), images)

``images[i]`` is what the program calls ``tensor(images(i))``, and ``model.solve`` answers queries about it.
Any module with a method ``posterior(images)`` will do. DeepProbLog's circuit cache stays off: it is keyed
by a query's pattern, and gives a wrong probability where one image is substituted into two arguments.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

import torch
from problog.logic import Constant
from torch import Tensor, nn

from nesy_gedi.errors import UserError
from nesy_gedi.logic.circuit import equality_pattern
from nesy_gedi.logic.program import Program

with warnings.catch_warnings():
    # said at every import without PySwip; only DeepProbLog's approximate engine needs it
    warnings.filterwarnings("ignore", message="ApproximateEngine is not available")
    from deepproblog.engines import ExactEngine
    from deepproblog.model import Model
    from deepproblog.network import Network
    from deepproblog.query import Query


class HasPosterior(Protocol):
    """A network whose ``posterior`` maps images to class probabilities ``(batch, classes)``."""

    def posterior(self, images: Tensor) -> Tensor:
        """Class probabilities ``(batch, classes)`` of images ``(batch, channels, height, width)``."""


class _Posterior(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return cast(HasPosterior, self.network).posterior(images)


class _ImageSource:
    """The images that a program calls ``tensor(images(i))``; DeepProbLog looks up ``(Constant(i),)``."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __getitem__(self, key: Sequence[Constant]) -> Tensor:
        return self.images[int(key[0])]


class _Lookup(nn.Module):
    """A "network" whose images are log-probabilities already."""

    def forward(self, log_probs: Tensor) -> Tensor:
        return log_probs.exp()


def as_predicate(module: nn.Module, name: str = "mnist_net") -> Network:
    """A network as DeepProbLog's ``Network`` of that name, evaluated on all images of a query at once.

    Args:
        module: has a method ``posterior(images)`` from ``(batch, channels, height, width)`` to
            probabilities ``(batch, classes)``.
        name: what the program calls it, ``nn(name, [X], Y, …)``.

    Raises:
        UserError: the module has no such method.
    """
    if not callable(getattr(module, "posterior", None)):
        raise UserError(
            f"{type(module).__name__} has no method posterior(images): give it one that returns the class "
            "probabilities, (batch, classes)"
        )
    return Network(_Posterior(module), name, batching=True)


def deepproblog_model(program_path: str | Path, network: Network, images: Tensor) -> Model:
    """DeepProbLog's model of a program, exact engine, its cache off, with images to query about.

    Args:
        program_path: the ``.pl`` file.
        network: the network that it names, for example from :func:`as_predicate`.
        images: ``(n, …)``; the program's ``tensor(images(i))`` is ``images[i]``.
    """
    model = Model(str(program_path), [network])
    model.set_engine(ExactEngine(model), cache=False)
    model.add_tensor_source("images", _ImageSource(images))
    return model


class DeepProbLogConstraint(nn.Module):
    """log P(constraint) by DeepProbLog itself, row by row: the slow, independent engine.

    Takes and gives what :class:`~nesy_gedi.logic.circuit.ConstraintCircuit` does. Probabilities are not
    in log space: below about 1e-38 they are zero.

    Raises:
        UserError: ``classes`` differs from the size of the program's domain.
    """

    def __init__(self, program: Program, classes: int | None = None) -> None:
        super().__init__()
        if classes is not None:
            program.check_classes(classes)
        self.program = program
        self.slots = len(program.slots)
        self.domain = tuple(str(symbol) for symbol in program.neural.domain)
        self.classes = len(self.domain)
        network = Network(_Lookup(), program.neural.network, batching=True)
        self._model = Model(program.source.text, [network], load=False)
        self._model.set_engine(ExactEngine(self._model), cache=False)

    def forward(self, log_probs: Tensor, images: Tensor | None = None) -> Tensor:
        """log P(constraint) in nats, ``(batch,)``, of ``(batch, slots, classes)``; -inf where P is zero.

        Args:
            log_probs: log-probabilities of the classes.
            images: which image stands in which slot, ``(batch, slots)``; without it all are different.
        """
        log_probs = log_probs.to(torch.promote_types(log_probs.dtype, torch.float32))
        first = torch.arange(self.slots).repeat(len(log_probs), 1)
        if images is not None:
            first = equality_pattern(images).cpu()
        rows = first + self.slots * torch.arange(len(log_probs)).unsqueeze(1)
        self._model.add_tensor_source("images", _ImageSource(log_probs.flatten(0, 1)))
        results = self._model.solve([Query(self.program.query_term(row)) for row in rows.tolist()])
        # a query that nothing can satisfy gives a plain 0.0, one that always holds a plain 1.0
        values = [next(iter(result.result.values()), 0.0) for result in results]
        probability = torch.stack([torch.as_tensor(value).to(log_probs) for value in values])
        possible = probability > 0
        return torch.where(possible, probability, 1.0).log().masked_fill(~possible, -torch.inf)
