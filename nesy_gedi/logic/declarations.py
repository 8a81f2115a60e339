"""What a checked program declares: its networks, learnable probabilities, evidence and query."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from problog.logic import AnnotatedDisjunction, Clause, Constant, Or, Term, Var, list2term
from problog.program import SimpleProgram

from nesy_gedi.errors import UserError, unknown
from nesy_gedi.logic.calls import Rule
from nesy_gedi.logic.source import Source

OBSERVED = "observed"  # networks of this name, or this name and more after an underscore, are fed labels


@dataclass(frozen=True)
class NeuralPredicate:
    """``nn(network, inputs, output, domain) :: head``, or a neural fact ``nn(network, inputs) :: head``.

    Attributes:
        inputs: what is handed to the network: variables of the head, or constants.
        output: the variable that stands for the class; None for a neural fact.
        domain: class k of the network reads as ``domain[k]``; ``(false, true)`` for a neural fact.
        head: the annotated atom.
        body: the conditions after it, if any.
    """

    network: str
    inputs: tuple[Term, ...]
    output: Var | None
    domain: tuple[Term, ...]
    head: Term
    body: Term | None

    @property
    def observed(self) -> bool:
        """Whether labels are fed to it, not the outputs of a network that learns."""
        return is_observed(self.network)

    def expanded(self, number: int) -> Term:
        """An ordinary annotated disjunction, with placeholders ``nn(number, class, inputs)``."""
        image = list2term(list(self.inputs))
        plain = self.head.with_probability(None)
        heads = []
        for k, symbol in enumerate(self.domain):
            if self.output is None and k == 0:
                continue
            head = plain if self.output is None else plain.apply_term({self.output: symbol})
            heads.append(head.with_probability(Term("nn", Constant(number), Constant(k), image)))
        return _clause(heads, self.body)


@dataclass(frozen=True)
class Parameter:
    """An annotated disjunction with learnable probabilities ``t(p) :: head``, or a single such fact.

    Attributes:
        heads: the atoms, without their probabilities.
        body: the conditions after them, if any.
        fixed: the constant probability of each head, None where it is learnable.
        initial: first value of each learnable probability, None for ``t(_)``.
    """

    heads: tuple[Term, ...]
    body: Term | None
    fixed: tuple[float | None, ...]
    initial: tuple[float | None, ...]

    def expanded(self, number: int) -> Term:
        """The same disjunction; its probabilities are placeholders ``t(number, head)``."""
        heads = [
            h.with_probability(Term("t", Constant(number), Constant(k))) for k, h in enumerate(self.heads)
        ]
        return _clause(heads, self.body)

    def start(self) -> tuple[float, ...]:
        """First probability of every head, and of none of them unless the program's own sum to one."""
        given = sum(p for p in (*self.fixed, *self.initial) if p is not None)
        open_heads = sum(f is None and i is None for f, i in zip(self.fixed, self.initial, strict=True))
        share = max(0.0, 1.0 - given) / (open_heads + 1)
        values = [
            f if f is not None else i if i is not None else share
            for f, i in zip(self.fixed, self.initial, strict=True)
        ]
        rest = 1.0 - sum(values)
        return (*values, max(rest, 0.0)) if rest > 1e-12 or len(values) == 1 else tuple(values)


@dataclass(frozen=True)
class Program:
    """A checked program.

    Attributes:
        statements: the clauses and directives that are taken as they are.
        neural: the neural predicates.
        parameters: the disjunctions with learnable probabilities.
        evidence: ground atoms, and whether they are true.
        query: the query, with its variables.
        slots: the query's variables that stand for images, in their order.
        symbols: the query's other variables.
        rules: heads and bodies of all clauses, for messages.
        support: true readings that examples are drawn from: the facts ``support(…)``, if there are some.
        trusted: whether grounding may read files and run code.
        asked: the query as it was asked for; None for the program's own.
    """

    source: Source
    statements: tuple[Term, ...]
    neural: tuple[NeuralPredicate, ...]
    parameters: tuple[Parameter, ...]
    evidence: tuple[tuple[Term, bool], ...]
    query: Term
    slots: tuple[Var, ...]
    symbols: tuple[Var, ...]
    rules: tuple[Rule, ...] = ()
    support: tuple[Term, ...] = ()
    trusted: bool = False
    asked: str | None = None
    line_info: object = field(default=None, compare=False, repr=False)

    @property
    def path(self) -> Path:
        """The file that the program was read from."""
        return self.source.path

    @property
    def domains(self) -> dict[str, tuple[str, ...]]:
        """For each network the symbols that its classes read as, where it is declared first."""
        found: dict[str, tuple[str, ...]] = {}
        for neural in self.neural:
            found.setdefault(neural.network, tuple(str(symbol) for symbol in neural.domain))
        return found

    @property
    def learned(self) -> tuple[str, ...]:
        """Names of the networks that see images, without the observed ones."""
        return tuple(dict.fromkeys(n.network for n in self.neural if not n.observed))

    def expanded(self) -> SimpleProgram:
        """What is grounded: networks and learnable probabilities as annotated disjunctions."""
        program = SimpleProgram()
        program.line_info = self.line_info  # so that errors while grounding name their line
        for statement in self.statements:
            program.add_statement(statement)
        for number, neural in enumerate(self.neural):
            program.add_statement(neural.expanded(number))
        for number, parameter in enumerate(self.parameters):
            program.add_statement(parameter.expanded(number))
        return program

    def query_with(self, images: Sequence[Term]) -> Term:
        """The query with a term in every slot; equal terms are one image."""
        filled = dict(zip((str(v) for v in self.slots), images, strict=True))
        return self.query.apply_term({v: filled.get(str(v), v) for v in (*self.slots, *self.symbols)})

    def check_network(self, network: str, classes: int) -> None:
        """Check a network's name and output size against the program.

        Raises:
            ProgramError: the program names no such network, or its domain has another size; names the place.
        """
        if network not in self.domains:
            place = self.neural[0].head.probability if self.neural else None
            raise self.source.error(place, str(unknown("network", network, self.domains)))
        for neural in self.neural:
            if neural.network == network and classes != len(neural.domain):
                raise self.source.error(
                    neural.head.probability,
                    f"the network has {classes} outputs, but {len(neural.domain)} classes are listed for "
                    f"{network}: build the network with {len(neural.domain)} classes or edit the list",
                )

    def check_classes(self, classes: int) -> None:
        """Check the output size of the one network that learns.

        Raises:
            UserError: several networks learn, or none.
            ProgramError: the domain has another size.
        """
        self.check_network(self.single_network(), classes)

    def single_network(self) -> str:
        """The one network that sees images.

        Raises:
            UserError: there are several, or none.
        """
        if len(self.learned) == 1:
            return self.learned[0]
        names = ", ".join(self.learned) or "none"
        raise UserError(
            f"{self.path} names {len(self.learned)} networks that see images ({names}): training wants "
            "exactly one; use ConstraintCircuit in a loop of your own for more"
        )


def is_observed(network: str) -> bool:
    """Whether a network of this name is fed labels instead of images."""
    return network == OBSERVED or network.startswith(OBSERVED + "_")


def _clause(heads: list[Term], body: Term | None) -> Term:
    if body is None:
        return heads[0] if len(heads) == 1 else Or.from_list(heads)
    return Clause(heads[0], body) if len(heads) == 1 else AnnotatedDisjunction(heads, body)
