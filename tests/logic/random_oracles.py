"""What random programs give by brute force, ProbLog and DeepProbLog (test support).

Tables are log-probabilities, by the network and the images that it is given; answers go by the query's free
symbols, as text.
"""

from collections.abc import Mapping
from typing import TypeAlias

import torch
from deepproblog.engines import ExactEngine
from deepproblog.model import Model
from deepproblog.network import Network
from deepproblog.query import Query
from possible_worlds import Worlds
from problog import get_evaluatable
from problog.logic import Term
from problog.program import PrologString
from prolog_terms import fixed, renamed
from random_programs import NAMES, Inputs, RandomProgram
from random_rules import Network as NetworkOfProgram
from torch import Tensor

Tables: TypeAlias = Mapping[Inputs, Tensor]


def log_softmax(logits: Tables) -> dict[Inputs, Tensor]:
    """The log-probabilities of logits."""
    return {key: values.log_softmax(-1) for key, values in logits.items()}


def brute_force(program: RandomProgram, worlds: Worlds, tables: Tables) -> dict[str, Tensor]:
    """log P(answer | evidence) by the answer's symbols."""
    weights = worlds.log_weights(tables)
    evidence = weights[worlds.member(worlds.evidence)].logsumexp(0)
    both = {program.answer(atom): bits & worlds.evidence for atom, bits in worlds.answers[0].items()}
    return {
        answer: weights[worlds.member(bits)].logsumexp(0) - evidence for answer, bits in both.items() if bits
    }


def satisfying(program: RandomProgram, worlds: Worlds, answer: str) -> Tensor:
    """In which worlds an answer and the evidence hold: bool, ``(worlds,)``."""
    atom = next(atom for atom in worlds.answers[0] if program.answer(atom) == answer)
    return worlds.member(worlds.answers[0][atom] & worlds.evidence)


def values_of(worlds: Worlds) -> dict[Inputs, Tensor]:
    """The class of each input of a network in every world, ``(worlds,)``."""
    return {(c.network, c.inputs): worlds.values(k) for k, c in enumerate(worlds.choices) if c.network}


def posterior(program: RandomProgram, worlds: Worlds, tables: Tables, answer: str) -> dict[Inputs, Tensor]:
    """P(class | answer and evidence) of every input; its own distribution where no world looks at it."""
    holds = satisfying(program, worlds, answer)
    weights = torch.where(holds, worlds.log_weights(tables), -torch.inf).softmax(0)
    found = {key: table.exp().detach() for key, table in tables.items()}
    for key, values in values_of(worlds).items():
        found[key] = torch.zeros_like(found[key]).index_add(0, values, weights.detach())
    return found


def bounds(worlds: Worlds, tables: Tables, read: set[Inputs]) -> tuple[Tensor, Tensor]:
    """Lower and upper bound of what a circuit may take for the log-probability of every world: ``(worlds,)``.

    Networks that the circuit does not read are summed over. Alternatives of a disjunction that make no
    difference, like those that the query never asks for, may stand for themselves or be taken together.

    Args:
        read: what the circuit reads.
    """
    choices = dict(enumerate(worlds.choices))
    ignored = {
        k: torch.ones(c.size, c.size, dtype=torch.bool)
        for k, c in choices.items()
        if c.network and (c.network, c.inputs) not in read
    }
    alike = {k: worlds.alike(k) for k, c in choices.items() if not c.network}
    low, high = (worlds.log_weights(tables, some) for some in (ignored, {**ignored, **alike}))
    return low.detach(), high.detach()


def problog(
    program: RandomProgram, tables: Tables, names: Mapping[str, str] = NAMES
) -> dict[str, float] | None:
    """P(answer | evidence) by ProbLog, by the answer's symbols; None where it breaks down."""
    try:
        results = get_evaluatable().create_from(PrologString(program.problog(tables, names))).evaluate()
    except AssertionError:  # on some evidence about cycles
        return None
    return {program.answer(str(atom)): p for atom, p in results.items() if p > 1e-12}


class _Lookup(torch.nn.Module):
    """A network whose images are the numbers of their names."""

    def __init__(self, network: NetworkOfProgram, tables: Tables, images: list[str]) -> None:
        super().__init__()
        self.network, self.tables, self.images = network, tables, images

    def forward(self, *numbers: Tensor) -> Tensor:
        """Class probabilities, or a single one of a neural fact."""
        probabilities = self.tables[self.network.name, tuple(self.images[int(n)] for n in numbers)].exp()
        return probabilities[1:] if self.network.kind == "fact" else probabilities


def deepproblog(program: RandomProgram, tables: Tables) -> dict[str, Tensor]:
    """Probabilities by DeepProbLog's exact engine, its cache off, by the answer's symbols."""
    images = list(dict.fromkeys(image for _, inputs in tables for image in inputs))
    terms = {image: f"tensor(images({k}))" for k, image in enumerate(images)}
    lines = [line for line in program.text.splitlines() if not line.startswith("query(")]
    networks = [Network(_Lookup(network, tables, images), network.name) for network in program.networks]
    model = Model(renamed(fixed("\n".join(lines)), terms), networks, load=False)
    model.set_engine(ExactEngine(model), cache=False)
    model.add_tensor_source("images", [])
    model.tensor_sources["images"] = {
        (Term.from_string(str(k)),): torch.tensor(k) for k in range(len(images))
    }
    query = Term.from_string(renamed(renamed(program.query, NAMES), terms))
    (result,) = model.solve([Query(query)])
    return {program.answer(str(atom)): p for atom, p in result.result.items()}
