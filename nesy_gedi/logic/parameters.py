"""The learnable probabilities ``t(p)`` of a program."""

from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from nesy_gedi.logic.declarations import Parameter

_LEAST = 1e-6  # first probabilities are kept away from 0 and 1, where no gradient could move them


class LearnableProbabilities(nn.Module):
    """Annotated disjunctions with learnable probabilities; each sums to one, or to less by "none of them".

    They are float64, as the program's numbers are: one that nothing has moved is what the program says.

    Args:
        parameters: what the program says of them.
    """

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        super().__init__()
        self.parameters_of_program = tuple(parameters)
        self.logits = nn.ParameterList()
        for parameter in parameters:
            start = torch.tensor(parameter.start(), dtype=torch.float64)
            free = start[self._free(parameter)].clamp_min(_LEAST)
            self.logits.append(nn.Parameter(free.log()))

    @staticmethod
    def _free(parameter: Parameter) -> Tensor:
        """Which of the values share what the constant ones leave."""
        values = len(parameter.start())
        fixed = [*(p is not None for p in parameter.fixed), *[False] * (values - len(parameter.fixed))]
        return ~torch.tensor(fixed)

    def log_probabilities(self) -> list[Tensor]:
        """For each disjunction log-probabilities ``(n,)`` of its heads and, if they are not all, of none."""
        result = []
        for parameter, logits in zip(self.parameters_of_program, self.logits, strict=True):
            start = torch.tensor(parameter.start(), dtype=torch.float64)
            free = self._free(parameter)
            left = start[free].sum()
            values = start.log().to(logits)
            places = free.nonzero()[:, 0].to(logits.device)
            result.append(values.index_put((places,), logits.log_softmax(0) + left.log().to(logits)))
        return result

    def _names(self) -> list[list[str]]:
        """For each disjunction the texts of its heads; those of equal heads are numbered."""
        seen: Counter[str] = Counter()
        names: list[list[str]] = []
        for parameter in self.parameters_of_program:
            names.append([])
            for head in map(str, parameter.heads):
                seen[head] += 1
                names[-1].append(head if seen[head] == 1 else f"{head} ({seen[head]})")
        return names

    def described(self) -> dict[str, float]:
        """The present probability of each learnable head, by its text; ``a (2)`` is the second of two a."""
        found = {}
        of_program = zip(self.parameters_of_program, self._names(), self.log_probabilities(), strict=True)
        for parameter, names, values in of_program:
            for name, fixed, value in zip(names, parameter.fixed, values.exp().tolist(), strict=False):
                if fixed is None:
                    found[name] = value
        return found

    def assign(self, probabilities: Mapping[str, float]) -> None:
        """Set the probabilities that :meth:`described` once gave."""
        with torch.no_grad():
            of_program = zip(self.parameters_of_program, self._names(), self.logits, strict=True)
            for parameter, names, logits in of_program:
                values = list(parameter.start())
                for k, name in enumerate(names):
                    if parameter.fixed[k] is None:
                        values[k] = probabilities.get(name, values[k])
                if len(values) > len(parameter.heads):
                    values[-1] = 1.0 - sum(values[:-1])
                free = torch.tensor(values, dtype=torch.float64)[self._free(parameter)]
                logits.copy_(free.clamp_min(_LEAST).log().to(logits))
