"""From a program to a differentiable probability, for a whole batch at once and in log space.

The probability is ProbLog's: a network's output is an annotated disjunction, of which exactly one class
is true, so P(query) is the summed probability of the worlds in which the query holds; with evidence,
P(query and evidence) / P(evidence).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from nesy_gedi.errors import UserError
from nesy_gedi.logic.arguments import check_answers, check_images
from nesy_gedi.logic.arithmetic import ArithmeticCircuit
from nesy_gedi.logic.cache import cached
from nesy_gedi.logic.compiler import Compiled, compile_program
from nesy_gedi.logic.declarations import Program
from nesy_gedi.logic.inputs import InputLayout, NetworkInputs, PatternInputs
from nesy_gedi.logic.klay_layers import KlayCircuit
from nesy_gedi.logic.layers import LayeredCircuit
from nesy_gedi.logic.limits import Limits, compile_limited
from nesy_gedi.logic.parameters import LearnableProbabilities

Evaluator: TypeAlias = LayeredCircuit | KlayCircuit
LogProbs: TypeAlias = Tensor | Mapping[str, Tensor]
_DEFAULT_LIMITS = Limits()


class Explanation(NamedTuple):
    """The most probable world in which query and evidence hold.

    Attributes:
        classes: for each network the class of each of its inputs, ``(batch, inputs)``, int64.
        log_probability: log P(world), nats, ``(batch,)``; -inf where nothing satisfies the query, and the
            classes are then anything.
        log_posterior: log P(world | query and evidence), nats, ``(batch,)``.
    """

    classes: dict[str, Tensor]
    log_probability: Tensor
    log_posterior: Tensor


class _PatternCircuit(nn.Module):
    """The circuit for one pattern of equal images, with what it reads."""

    def __init__(
        self,
        compiled: Compiled,
        inputs: PatternInputs,
        answers: Sequence[tuple[str, ...]],
        evaluator: Callable[[ArithmeticCircuit], Evaluator],
    ) -> None:
        super().__init__()
        self.compiled, self.inputs = compiled, inputs
        self.evaluator = evaluator(compiled.circuit)
        self.layers: LayeredCircuit | None = None  # made when first asked for more than probabilities
        # the root of each answer of the query; an answer that equal images rule out has none
        self.roots = [compiled.answers.index(a) if a in compiled.answers else -1 for a in answers]

    def forward(self, values: Tensor) -> Tensor:
        """log P(answer | evidence), ``(batch, answers)``."""
        roots: Tensor = self.evaluator(values)
        if self.compiled.has_evidence:
            evidence = roots[:, -1:]
            # P(query | evidence) is taken as 0 where the evidence has probability 0
            roots = torch.where(evidence.isneginf(), -torch.inf, roots[:, :-1] - evidence)
        if self.roots == list(range(roots.shape[1])):
            return roots
        impossible = roots.new_full((len(roots), 1), -torch.inf)
        return torch.cat([roots, impossible], 1)[:, self.roots]

    def explaining(self) -> LayeredCircuit:
        """The evaluator that can also explain and sample."""
        if isinstance(self.evaluator, LayeredCircuit):
            return self.evaluator
        if self.layers is None:
            self.layers = LayeredCircuit(self.compiled.circuit).to(self.inputs.index.device)
        return self.layers


class ConstraintCircuit(nn.Module):
    """log P(query | evidence) of a program, for a batch of class distributions.

    Args:
        program: the checked program.
        evaluator: makes the module that evaluates an arithmetic circuit.
        limits: of compiling in a process of its own, with results kept on disk; None compiles
            in this process, without limits, and keeps nothing.

    Attributes:
        networks: for each network which slots it reads, and how many classes it has; see
            :class:`~nesy_gedi.logic.inputs.NetworkInputs`.
        slots: names of the images: the query's variables that reach a network, in their order, then
            constants that the program hands to a network, as grounding met them.
        answers: the symbols of each answer of the query, as text, ``"3"`` or ``"3, odd"``; empty if the
            query has no free symbol.
        compiled: the circuit for distinct images.
        probabilities: the learnable probabilities ``t(p)``.

    Raises:
        ProgramError: the program cannot be grounded, compiling went over a limit, or query or evidence
            can never hold.
    """

    def __init__(
        self,
        program: Program,
        evaluator: Callable[[ArithmeticCircuit], Evaluator] = LayeredCircuit,
        limits: Limits | None = _DEFAULT_LIMITS,
    ) -> None:
        super().__init__()
        self.program, self._evaluator, self._limits = program, evaluator, limits
        self._distinct = tuple(range(len(program.slots)))
        self.compiled = self._compile(self._distinct)
        self.layout = InputLayout(program, self.compiled.choices)
        self.networks: dict[str, NetworkInputs] = self.layout.networks
        self.slots = self.layout.slots
        self.answers = tuple(", ".join(answer) for answer in self.compiled.answers if answer)
        self.probabilities = LearnableProbabilities(program.parameters)
        self._circuits: dict[tuple[int, ...], _PatternCircuit] = {}  # made when a pattern is first met
        self._modules_by_pattern = nn.ModuleList()
        self._circuit(self._distinct)

    @property
    def nodes(self) -> int:
        """Sums and products that are evaluated for distinct images."""
        return self._circuit(self._distinct).evaluator.nodes

    @property
    def certain(self) -> bool:
        """Whether a reading settles the query: the program has no probabilities of its own."""
        return all(choice.kind == "network" for choice in self.compiled.choices)

    def variables(self, network: str) -> list[int]:
        """The circuit's variable for each input of a network, for distinct images."""
        inputs, found = self._circuit(self._distinct).inputs, self.networks[network]
        return [inputs.variables[found.start + k * found.classes] for k in range(len(found.slots))]

    def forward(
        self, log_probs: LogProbs, images: Tensor | None = None, answers: Tensor | None = None
    ) -> Tensor:
        """log P(query | evidence) in nats: ``(batch,)``, or ``(batch, answers)`` if there are answers.

        Args:
            log_probs: for each network the log-probabilities of the classes, ``(batch, inputs, classes)``;
                a tensor alone if there is one network. -inf is allowed. A neural fact has the classes
                false and true; ``(batch, inputs, 1)`` is taken as log P(true). Computed in float32 at least.
            images: which image stands in which of the query's image variables, ``(batch,
                len(program.slots))``; constants have no column. Where a row names one image twice, both slots
                have one common reading; it is read off the first of them. Without ``images`` all differ.
            answers: ``(batch,)``, int64: for each row the number of the answer that is asked; the result is
                then ``(batch,)``.

        Raises:
            UserError: names, shapes or numbers do not fit the program, or a row's repeated image makes its
                query unsatisfiable.
        """
        columns = self._columns(log_probs, images, answers)

        def evaluate(circuit: _PatternCircuit, rows: Tensor | slice) -> Tensor:
            part: Tensor = circuit(self._values(circuit, columns[rows]))
            return part

        result = self._by_pattern(images, evaluate)
        if not self.answers:
            return result[:, 0]
        return result if answers is None else result.gather(1, answers.unsqueeze(1))[:, 0]

    def answer_index(self, symbols: Sequence[object]) -> int:
        """The number of an answer, for example of ``[7]``.

        Raises:
            UserError: the query can never have this answer.
        """
        text = ", ".join(map(str, symbols))
        if text not in self.answers:
            names = ", ".join(str(v) for v in self.program.symbols)
            shown = ", ".join(self.answers[:12]) + (", …" if len(self.answers) > 12 else "")
            raise UserError(
                f"{self.program.query} in {self.program.path} can never hold with {names} = {text}; "
                f"possible are {shown}"
            )
        return self.answers.index(text)

    def marginals(
        self, log_probs: LogProbs, images: Tensor | None = None, answers: Tensor | None = None
    ) -> Tensor | dict[str, Tensor]:
        """P(class | query and evidence) for every input of every network, in the form of ``log_probs``.

        It is the derivative of log P by the log-probabilities (Darwiche, J. ACM 2003). Zero everywhere in
        rows where nothing satisfies the query.

        Args:
            log_probs: as for :meth:`forward`.
            images: as for :meth:`forward`.
            answers: the answer that each row's query has; needed if there are answers.
        """
        columns = self._columns(log_probs, images, answers)

        def evaluate(circuit: _PatternCircuit, rows: Tensor | slice) -> Tensor:
            values = self._values(circuit, columns[rows])
            root, possible = self._roots(circuit, len(values), answers, rows)
            weights = nn.functional.one_hot(root, len(circuit.compiled.circuit.roots)).to(values)
            flow = circuit.explaining().marginals(values, weights * possible.unsqueeze(1))
            return circuit.inputs.spread(flow, columns[rows])

        with torch.no_grad():
            parts = self.layout.split(self._by_pattern(images, evaluate))
        return parts if isinstance(log_probs, Mapping) else next(iter(parts.values()))

    def most_probable(
        self, log_probs: LogProbs, images: Tensor | None = None, answers: Tensor | None = None
    ) -> Explanation:
        """The most probable world in which query and evidence hold, over all random variables.

        Args:
            log_probs: as for :meth:`forward`.
            images: as for :meth:`forward`.
            answers: ``(batch,)``, the answer that each row's query has; needed if there are answers.
        """
        columns = self._columns(log_probs, images, answers)
        names = list(self.networks)

        def evaluate(circuit: _PatternCircuit, rows: Tensor | slice) -> Tensor:
            values, layers = self._values(circuit, columns[rows]), circuit.explaining()
            root, possible = self._roots(circuit, len(values), answers, rows)
            world, log_probability = layers.most_probable(values, root)
            total = layers(values).gather(1, root.unsqueeze(1))[:, 0]
            logs = torch.stack([log_probability, log_probability - total], 1)
            logs = logs.masked_fill(~possible.unsqueeze(1) | logs[:, :1].isneginf(), -torch.inf)
            classes = circuit.inputs.classes(self.layout, world, columns[rows])
            return torch.cat([*(classes[name].to(values) for name in names), logs], 1)

        with torch.no_grad():
            result = self._by_pattern(images, evaluate)
        sizes = [len(self.networks[name].slots) for name in names]
        *parts, log_probability, log_posterior = result.split([*sizes, 1, 1], 1)
        classes = {name: part.long() for name, part in zip(names, parts, strict=True)}
        return Explanation(classes, log_probability[:, 0], log_posterior[:, 0])

    def sample(
        self, log_probs: LogProbs, generator: torch.Generator, answers: Tensor | None = None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Draw a world for each row given that query and evidence hold, all images different.

        Args:
            log_probs: as for :meth:`forward`; zeros draw satisfying readings uniformly.
            generator: source of randomness.
            answers: the answer that each row's query has; without it, one is drawn as well.

        Returns:
            For each network the class of each of its inputs, ``(batch, inputs)``; the answers, ``(batch,)``.
        """
        circuit = self._circuit(self._distinct)
        with torch.no_grad():
            columns = self._columns(log_probs, None, answers)
            values, layers = self._values(circuit, columns), circuit.explaining()
            if answers is None:
                share = layers(values)[:, : len(circuit.roots)].softmax(1)
                answers = torch.multinomial(share, 1, generator=generator)[:, 0]
            world = layers.sample(values, answers, generator)
            return circuit.inputs.classes(self.layout, world, columns), answers

    def _columns(self, log_probs: LogProbs, images: Tensor | None, answers: Tensor | None) -> Tensor:
        """All that was given, checked; the log-probabilities side by side, ``(batch, columns)``."""
        columns = self.layout.gathered(log_probs)
        if images is not None:
            check_images(self.program, images, len(columns))
        if answers is not None:
            check_answers(self.program, self.answers, answers, len(columns))
        return columns

    def _values(self, circuit: _PatternCircuit, columns: Tensor) -> Tensor:
        values: Tensor = circuit.inputs(columns, self.probabilities.log_probabilities())
        return values

    def _roots(
        self, circuit: _PatternCircuit, count: int, answers: Tensor | None, rows: Tensor | slice
    ) -> tuple[Tensor, Tensor]:
        """For each row the root of its answer, and whether equal images leave it possible: ``(count,)``."""
        if answers is None and self.answers:
            raise UserError(
                f"{self.program.query} has {len(self.answers)} answers: say with `answers` which one "
                "each row has"
            )
        device = circuit.inputs.index.device
        chosen = torch.zeros(count, dtype=torch.long, device=device) if answers is None else answers[rows]
        roots = torch.tensor(circuit.roots, device=chosen.device)[chosen]
        return roots.clamp_min(0), roots >= 0

    def _by_pattern(
        self, images: Tensor | None, evaluate: Callable[[_PatternCircuit, Tensor | slice], Tensor]
    ) -> Tensor:
        """Evaluate rows in groups of one pattern of equal images each, and put them in order again."""
        if images is None or images.numel() == 0:  # no rows or no slots have no pattern
            return evaluate(self._circuit(self._distinct), slice(None))
        first = equality_pattern(images)
        patterns, group = first.unique(dim=0, return_inverse=True)
        rows = [(group == k).nonzero()[:, 0] for k in range(len(patterns))]
        parts = [
            evaluate(self._circuit(tuple(pattern)), r)
            for pattern, r in zip(patterns.tolist(), rows, strict=True)
        ]
        return torch.cat(parts)[torch.cat(rows).argsort()]

    def _compile(self, pattern: tuple[int, ...]) -> Compiled:
        limits = self._limits
        if limits is None:
            return compile_program(self.program, pattern)
        return cached(self.program, pattern, lambda: compile_limited(self.program, pattern, limits))

    def _circuit(self, pattern: tuple[int, ...]) -> _PatternCircuit:
        if pattern not in self._circuits:
            compiled = self.compiled if pattern == self._distinct else self._compile(pattern)
            unknown = [a for a in compiled.answers if a not in self.compiled.answers]
            if unknown:
                raise UserError(
                    f"{self.program.query} has the answer {', '.join(unknown[0])} only if images are equal: "
                    "let the answers not depend on which images are the same"
                )
            inputs = PatternInputs(self.layout, compiled.choices, pattern)
            circuit = _PatternCircuit(compiled, inputs, self.compiled.answers, self._evaluator)
            device = next((buffer.device for buffer in self.buffers()), None)
            self._circuits[pattern] = circuit.to(device)
            self._modules_by_pattern.append(circuit)
        return self._circuits[pattern]


def equality_pattern(images: Tensor) -> Tensor:
    """For each slot the first slot of its row that holds the same image: ``(batch, slots)``, int64."""
    return (images.unsqueeze(2) == images.unsqueeze(1)).int().argmax(2)
