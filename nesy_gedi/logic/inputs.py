"""How the outputs of networks, constants and learnable probabilities become the inputs of a circuit."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nesy_gedi.errors import UserError, unknown
from nesy_gedi.logic.declarations import Program, is_observed
from nesy_gedi.logic.grounding import Choice


@dataclass(frozen=True)
class NetworkInputs:
    """What one network contributes.

    Attributes:
        slots: for each of its inputs the numbers of the slots that it reads; a single one as a rule.
        domain: the symbol that each class reads as.
        start: first of its columns among those of all networks.
    """

    slots: tuple[tuple[int, ...], ...]
    domain: tuple[str, ...]
    start: int

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.domain)

    @property
    def columns(self) -> slice:
        """Its columns among those of all networks; inputs first, then classes."""
        return slice(self.start, self.start + len(self.slots) * self.classes)


class InputLayout:
    """The columns that all circuits of a query read: class by class, input by input, network by network.

    Args:
        program: the checked program.
        choices: the variables of the circuit for distinct images.

    Attributes:
        slots: names of the slots: the query's image variables, then constants as grounding met them.
        networks: what each network contributes.
        columns: number of columns.
    """

    def __init__(self, program: Program, choices: Sequence[Choice]) -> None:
        self.program = program
        named = [str(v) for v in program.slots]
        self.slots = tuple(dict.fromkeys([*named, *(slot for choice in choices for slot in choice.inputs)]))
        number = {name: k for k, name in enumerate(self.slots)}
        self.networks: dict[str, NetworkInputs] = {}
        self.columns = 0
        for name, domain in program.domains.items():
            read = {tuple(number[slot] for slot in c.inputs) for c in choices if c.name == name and c.inputs}
            if read:
                self.networks[name] = NetworkInputs(tuple(sorted(read)), domain, self.columns)
                self.columns += len(read) * len(domain)

    @property
    def learned(self) -> list[str]:
        """The networks that see images."""
        return [name for name in self.networks if not is_observed(name)]

    def gathered(self, log_probs: Tensor | Mapping[str, Tensor]) -> Tensor:
        """All networks' log-probabilities side by side, ``(batch, columns)``, in float32 at least.

        Raises:
            UserError: a network is missing, is not in the program, or has another shape or another number of
                rows; or the query reads no image.
        """
        if not self.networks:
            raise UserError(
                f"the query {self.program.query} of {self.program.path} reads no image: ask for a predicate "
                "that does"
            )
        if isinstance(log_probs, Tensor):
            if len(self.networks) != 1:
                names = ", ".join(self.networks) or "none"
                raise UserError(
                    f"{self.program.path} names {len(self.networks)} networks ({names}): give "
                    "log-probabilities by name"
                )
            log_probs = {next(iter(self.networks)): log_probs}
        for name in log_probs:
            if name not in self.networks:
                raise unknown("network", name, self.networks)
        missing = [name for name in self.networks if name not in log_probs]
        if missing:
            raise UserError(
                f"{self.program.path} needs log-probabilities of {', '.join(missing)} too: give them"
            )
        parts = [self._checked(name, log_probs[name]) for name in self.networks]
        rows = {name: len(part) for name, part in zip(self.networks, parts, strict=True)}
        if len(set(rows.values())) > 1:
            found = ", ".join(f"{count} of {name}" for name, count in rows.items())
            raise UserError(
                f"{self.program.path} needs as many rows of every network, not {found}: give one for each "
                "example"
            )
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def _checked(self, name: str, log_probs: Tensor) -> Tensor:
        network = self.networks[name]
        wanted = (len(network.slots), network.classes)
        log_probs = log_probs.to(torch.promote_types(log_probs.dtype, torch.float32))
        if network.domain == ("false", "true") and log_probs.shape[1:] == (wanted[0], 1):
            log_probs = torch.cat([log_complement(log_probs), log_probs], 2)
        if log_probs.shape[1:] != wanted:
            raise UserError(
                f"{self.program.path} needs log-probabilities (batch, {wanted[0]}, {wanted[1]}) of {name}, "
                f"not {tuple(log_probs.shape)}: give one distribution for each of its {wanted[0]} inputs"
            )
        return log_probs.flatten(1)

    def split(self, columns: Tensor) -> dict[str, Tensor]:
        """From ``(batch, columns)`` to ``(batch, inputs, classes)`` for each network."""
        return {
            name: columns[:, network.columns].unflatten(1, (len(network.slots), network.classes))
            for name, network in self.networks.items()
        }


class PatternInputs(nn.Module):
    """How one circuit, for one pattern of equal images, reads the columns.

    Args:
        layout: the columns.
        choices: the circuit's variables.
        pattern: for each of the query's slots the first slot with the same image.

    Raises:
        UserError: the circuit reads what the circuit for distinct images does not.
    """

    def __init__(self, layout: InputLayout, choices: Sequence[Choice], pattern: Sequence[int]) -> None:
        super().__init__()
        first = [*pattern, *range(len(pattern), len(layout.slots))]
        names = {name: k for k, name in enumerate(layout.slots)}
        self.starts: dict[tuple[str, tuple[int, ...]], int] = {}
        canonical = list(range(layout.columns))
        for name, network in layout.networks.items():
            for k, slots in enumerate(network.slots):
                start = network.start + k * network.classes
                same = self.starts.setdefault((name, tuple(first[slot] for slot in slots)), start)
                canonical[start : start + network.classes] = range(same, same + network.classes)
        index: list[int] = []
        constants: list[float] = []
        self.variables: dict[int, int] = {}  # first column of an input -> the variable that it is
        parameters: list[tuple[int, int]] = []  # where learnable probabilities go, and which
        for variable, choice in enumerate(choices):
            if choice.kind == "network":
                slots = tuple(names.get(slot, -1) for slot in choice.inputs)
                if (choice.name, slots) not in self.starts:
                    raise UserError(
                        f"{layout.program.query} asks {choice.name} about {', '.join(choice.inputs)} only if "
                        "images are equal: let it not depend on which images are the same"
                    )
                start = self.starts[choice.name, slots]
                self.variables[start] = variable
                index += range(start, start + choice.size)
            elif choice.kind == "constant":
                index += range(layout.columns + len(constants), layout.columns + len(constants) + choice.size)
                constants += [math.log(p) if p > 0 else -math.inf for p in choice.weights]
            else:
                parameters.append((len(index), int(choice.name)))
                index += [-1] * choice.size
        after = layout.columns + len(constants)
        for place, number in parameters:
            size = len(layout.program.parameters[number].start())
            index[place : place + size] = range(after, after + size)
            after += size
        self.parameters_used = [number for _, number in parameters]
        self.plain = index == list(range(layout.columns))
        # not part of a checkpoint: the program is, and it makes these again
        self.register_buffer("index", torch.tensor(index, dtype=torch.long), persistent=False)
        self.register_buffer("canonical", torch.tensor(canonical, dtype=torch.long), persistent=False)
        self.register_buffer("constants", torch.tensor(constants, dtype=torch.float64), persistent=False)
        self.index: Tensor
        self.canonical: Tensor
        self.constants: Tensor

    def forward(self, columns: Tensor, log_parameters: Sequence[Tensor]) -> Tensor:
        """The circuit's inputs ``(batch, inputs)``, of ``(batch, columns)`` and learnable probabilities."""
        if self.plain:
            return columns
        extra = [self.constants, *(log_parameters[number] for number in self.parameters_used)]
        row = torch.cat([part.to(columns) for part in extra])
        return torch.cat([columns, row.expand(len(columns), -1)], 1)[:, self.index]

    def spread(self, flow: Tensor, columns: Tensor) -> Tensor:
        """Marginals of the circuit's inputs, given to the columns; one that is not read keeps its own.

        Args:
            flow: ``(batch, inputs)``.
            columns: log-probabilities ``(batch, columns)``.

        Returns:
            ``(batch, columns)``.
        """
        wide = torch.zeros(len(flow), int(self.index.max()) + 1, dtype=flow.dtype, device=flow.device)
        wide.index_add_(1, self.index, flow)
        if wide.shape[1] < columns.shape[1]:
            wide = nn.functional.pad(wide, (0, columns.shape[1] - wide.shape[1]))
        read = torch.zeros(wide.shape[1], dtype=torch.bool, device=flow.device)
        read[self.index] = True
        marginals = torch.where(read[: columns.shape[1]], wide[:, : columns.shape[1]], columns.exp())
        return marginals[:, self.canonical]

    def classes(self, layout: InputLayout, world: Tensor, columns: Tensor) -> dict[str, Tensor]:
        """The class of every input of every network in worlds ``(batch, variables)``."""
        found = {}
        for name, network in layout.networks.items():
            parts = []
            for k in range(len(network.slots)):
                start = int(self.canonical[network.start + k * network.classes])
                variable = self.variables.get(start)
                if variable is None:
                    parts.append(columns[:, start : start + network.classes].argmax(1))
                else:
                    parts.append(world[:, variable])
            found[name] = torch.stack(parts, 1)
        return found


def log_complement(log_p: Tensor) -> Tensor:
    """log(1 - p) of log p of any shape, to full precision near p = 0 and near p = 1; the gradient is finite.

    It is 0 where p is 1 or next to it, by less than the smallest normal number: the true one overflows.
    """
    # where() hands its gradient on to one branch only, but 0 * inf in the other would be nan: no branch may
    # see values that are not its own
    edge = (log_p <= 0) & (log_p > -torch.finfo(log_p.dtype).tiny)
    near_one = log_p > -math.log(2)
    near = torch.where(near_one & ~edge, log_p, -1.0)
    far = torch.where(near_one, -1.0, log_p)
    inside = torch.where(near_one, (-near.expm1()).log(), (-far.exp()).log1p())
    return torch.where(edge, (-log_p.detach()).log(), inside)
