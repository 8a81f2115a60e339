"""A trained network as a DeepProbLog neural predicate, and DeepProbLog as a reference for the circuit.

Three lines put a trained run into any DeepProbLog program::

    from nesy_gedi.gedi.checkpoint import load_network
    from nesy_gedi.logic.predicate import as_predicate, deepproblog_model
    model = deepproblog_model("my.pl", as_predicate(load_network("runs/my-run"), "mnist_net"), images)

``images[i]`` is what the program calls ``tensor(images(i))``, and ``model.solve`` answers queries about it.
Any module with a method ``posterior(images)`` will do; :func:`from_network` goes the other way. DeepProbLog's
circuit cache stays off: it is keyed by a query's pattern, and gives a wrong probability where one image is
substituted into two arguments.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

import torch
from problog.logic import Constant, Term
from torch import Tensor, nn

from nesy_gedi.errors import UserError
from nesy_gedi.logic.circuit import equality_pattern
from nesy_gedi.logic.declarations import Program

with warnings.catch_warnings():
    # said at every import without PySwip; only DeepProbLog's approximate engine needs it
    warnings.filterwarnings("ignore", message="ApproximateEngine is not available")
    from deepproblog.engines import ExactEngine
    from deepproblog.model import Model
    from deepproblog.network import Network, get_tensor_function
    from deepproblog.query import Query

_ROUNDING = 1e-4  # above 1, of a probability in single precision


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


class _LogProbabilities(nn.Module):
    """What :func:`from_network` gives; it trains and evaluates together with the network that it wraps."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.module = network.network_module  # for its parameters
        self._network = network
        # all functions that look tensors up by their names have the same code, and here tensors have none
        looks_up = getattr(network.function, "__code__", None) is get_tensor_function(network).__code__
        self._function = None if looks_up else network.function

    def train(self, mode: bool = True) -> "_LogProbabilities":
        super().train(mode)
        self._network.eval_mode = not mode
        return self

    def forward(self, *inputs: Tensor) -> Tensor:
        """``(batch, inputs, …)`` for each of the network's arguments to ``(batch, inputs, classes)``."""
        shape = inputs[0].shape[:2]
        columns = [argument.flatten(0, 1) for argument in inputs]
        if self._function is not None:
            found = [self._function(*row) for row in zip(*columns, strict=True)]
            columns = [torch.stack(column) for column in zip(*found, strict=True)]
        if self._network.batching:
            probability = self.module(*columns)
        else:
            probability = torch.stack([self.module(*row) for row in zip(*columns, strict=True)])
        if bool(((probability < 0) | (probability > 1 + _ROUNDING)).any()):
            low, high = torch.aminmax(probability)
            raise UserError(
                f"{self._network.name} gives {low:.4g} to {high:.4g}, which are no probabilities: let it end "
                "with a softmax, as DeepProbLog wants it"
            )
        return self._kept(_log(probability.reshape(*shape, -1)))

    def _kept(self, log_probability: Tensor) -> Tensor:
        """Only k classes of each input, if the network has a k, picked as DeepProbLog's exact engine does."""
        k = self._network.k
        if k is None or k >= log_probability.shape[2]:
            return log_probability
        if self._network.eval_mode:
            classes = log_probability.topk(k).indices
        else:
            probability = log_probability.detach().exp().flatten(0, 1)
            classes = torch.multinomial(probability, k).view(*log_probability.shape[:2], k)
        others = torch.ones_like(log_probability, dtype=torch.bool).scatter(2, classes, False)
        return log_probability.masked_fill(others, -torch.inf)


def from_network(network: Network) -> nn.Module:
    """A network of DeepProbLog's for a :class:`~nesy_gedi.logic.circuit.ConstraintCircuit`.

    A module that maps images ``(batch, inputs, …)``, one such tensor for each argument of the network, to
    log-probabilities ``(batch, inputs, classes)``, nats; -inf, without a gradient, where they are zero. It
    shares the network's parameters, and ``eval`` and ``train`` of either hold for both. Without ``batching``
    the network sees its inputs one by one. A ``function`` of the user's own is applied to each input, where
    DeepProbLog applies it to a term.

    With ``k`` the classes that DeepProbLog leaves out get -inf: all but the k most likely, or while training
    all but k drawn by their probabilities. The others do not add up to 1, so a negation in the program makes
    a difference: DeepProbLog takes ``\\+`` of a class left out as true, here its probability is lost.

    Args:
        network: gives probabilities of the classes, ``(classes,)`` for an input; of a neural fact, ``(1,)``,
            the probability that it is true.

    Raises:
        UserError: the network gives tensors, ``nn(name, [X], Y)``; or, when the module is called, what it
            gives are no probabilities.
    """
    if network.det:
        raise UserError(
            f"{network.name} gives tensors, not probabilities: its program must list its classes, as in "
            "nn(name, [X], Y, [a, b])"
        )
    return _LogProbabilities(network)


class DeepProbLogConstraint(nn.Module):
    """log P(query) by DeepProbLog itself, row by row: the slow, independent engine.

    Gives what :class:`~nesy_gedi.logic.circuit.ConstraintCircuit` gives for one network. Probabilities are
    not in log space: below about 1e-38 they are zero. DeepProbLog grounds outside the sandbox: hand it
    programs that :class:`~nesy_gedi.logic.circuit.ConstraintCircuit` has compiled before, which proves that
    nothing refused is reached.

    Args:
        program: the checked program.
        answers: the symbols of each answer of the query, as text.

    Raises:
        UserError: the program has evidence (which DeepProbLog ignores without a word), learnable
            probabilities, a neural fact, a network over several images, or several networks.
    """

    def __init__(self, program: Program, answers: Sequence[Sequence[str]] = ()) -> None:
        super().__init__()
        found = {
            "evidence, which DeepProbLog ignores": bool(program.evidence),
            "learnable probabilities, which DeepProbLog would keep to itself": bool(program.parameters),
            "more than one network": len(program.domains) > 1,
            "a neural fact": any(neural.output is None for neural in program.neural),
            "a network over several images": any(len(neural.inputs) > 1 for neural in program.neural),
        }
        for reason, there in found.items():
            if there:
                raise UserError(f"{program.path} has {reason}: use the engine circuit")
        self.program = program
        self._answers = [[Term.from_string(symbol) for symbol in answer] for answer in answers]
        (name,) = program.domains
        network = Network(_Lookup(), name, batching=True)
        self._model = Model(program.source.text, [network], load=False)
        self._model.set_engine(ExactEngine(self._model), cache=False)

    def forward(
        self,
        log_probs: Tensor | Mapping[str, Tensor],
        answers: Tensor | None = None,
        images: Tensor | None = None,
    ) -> Tensor:
        """log P(query) in nats, ``(batch,)``; -inf where P is zero.

        Args:
            log_probs: log-probabilities of the classes, ``(batch, slots, classes)``.
            answers: the number of each row's answer, ``(batch,)``; not looked at if the query has no symbols.
            images: which image stands in which slot, ``(batch, slots)``; without it all are different.

        Raises:
            UserError: there are more distributions than slots, for images that the program itself names.
        """
        if not isinstance(log_probs, Tensor):
            (log_probs,) = log_probs.values()
        if log_probs.shape[1] != len(self.program.slots):
            raise UserError(
                f"{self.program.query} in {self.program.path} has {len(self.program.slots)} images, but "
                f"{log_probs.shape[1]} distributions are given: for images that the program itself names use "
                "the engine circuit"
            )
        log_probs = log_probs.to(torch.promote_types(log_probs.dtype, torch.float32))
        slots = log_probs.shape[1]
        first = torch.arange(slots).repeat(len(log_probs), 1)
        if images is not None:
            first = equality_pattern(images).cpu()
        rows = first + slots * torch.arange(len(log_probs)).unsqueeze(1)
        self._model.add_tensor_source("images", _ImageSource(log_probs.flatten(0, 1)))
        wanted = answers.tolist() if self.program.symbols and answers is not None else [None] * len(rows)
        queries = [self._query(row, answer) for row, answer in zip(rows.tolist(), wanted, strict=True)]
        results = self._model.solve([Query(query) for query in queries])
        # a query that nothing can satisfy gives a plain 0.0, one that always holds a plain 1.0
        values = [next(iter(result.result.values()), 0.0) for result in results]
        probability = torch.stack([torch.as_tensor(value).to(log_probs) for value in values])
        return _log(probability)

    def _query(self, images: Sequence[int], answer: int | None) -> Term:
        query = self.program.query_with([Term("tensor", Term("images", Constant(i))) for i in images])
        if answer is None:
            return query
        return query.apply_term(dict(zip(self.program.symbols, self._answers[answer], strict=True)))


def _log(probability: Tensor) -> Tensor:
    """Logarithm, -inf and without a gradient where the probability is zero."""
    possible = probability > 0
    return torch.where(possible, probability, 1.0).log().masked_fill(~possible, -torch.inf)
