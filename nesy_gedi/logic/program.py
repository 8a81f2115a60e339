"""Read a DeepProbLog program and check that this package can evaluate all of it.

What is not supported is refused with the place in the file where it stands, never ignored:
a constraint that silently lost its `evidence` would train a network on something else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from problog.errors import ParseError
from problog.logic import AnnotatedDisjunction, Clause, Constant, Or, Term, Var, is_list, term2list
from problog.program import PrologString

from nesy_gedi.errors import UserError
from nesy_gedi.logic.calls import Key, Rule, called_predicates, image_arguments
from nesy_gedi.logic.source import ProgramError, Source, read_source

__all__ = ["NeuralPredicate", "Program", "ProgramError", "read_program"]

_EXAMPLE = "nn(net, [X], Y, [0, 1, 2]) :: digit(X, Y)."
_HARMLESS_DIRECTIVES = {"use_module(library(lists))"}


@dataclass(frozen=True)
class NeuralPredicate:
    """One annotated disjunction ``nn(network, [X], Y, domain) :: functor(X, Y)``."""

    network: str
    functor: str
    arity: int
    image_argument: int  # which argument of the predicate is X
    domain: tuple[Term, ...]  # class k of the network reads as domain[k]


@dataclass(frozen=True)
class Program:
    """A checked program: its one network, and the query whose arguments are the image slots."""

    source: Source
    neural: NeuralPredicate
    query: str  # functor of the query predicate
    arity: int
    slots: tuple[int, ...]  # query arguments that are images: all of them, so far

    @property
    def path(self) -> Path:
        """The file that the program was read from."""
        return self.source.path

    def statements(self) -> PrologString:
        """The parsed program, afresh."""
        return PrologString(self.source.text)

    def query_term(self, images: Sequence[int]) -> Term:
        """Ground query ``query(tensor(images(i)), …)``, one index per slot; equal index, same image."""
        return Term(self.query, *(Term("tensor", Term("images", Constant(int(i)))) for i in images))

    def check_classes(self, classes: int) -> None:
        """Check a network's output size against the domain.

        Raises:
            UserError: they differ.
        """
        domain = self.neural.domain
        if classes != len(domain):
            raise UserError(
                f"the network has {classes} outputs, but {self.path} lists {len(domain)} classes for "
                f"{self.neural.network}: build the network with {len(domain)} classes or edit the list"
            )


def read_program(path: str | Path) -> Program:
    """Read and check the DeepProbLog program in a file.

    The query predicate is the one that the program's ``query/1`` names, else the one that no other
    predicate calls.

    Raises:
        UserError: there is no such file, or it is not a text file.
        ProgramError: a syntax error, or something that is not supported.
    """
    return _Reader(read_source(Path(path))).program()


class _Reader:
    """Takes one source text apart; holds what it has met so far."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.neural: list[tuple[NeuralPredicate, Term]] = []
        self.queries: list[Term] = []
        self.rules: list[Rule] = []

    def program(self) -> Program:
        try:
            statements = list(PrologString(self.source.text))
        except ParseError as error:
            raise self.source.problog_error(error) from None
        for statement in statements:
            self._take(statement)
        if not self.neural:
            raise self.source.error(None, f"no network is mentioned: write one, for example {_EXAMPLE}")
        if len(self.neural) > 1:
            names = ", ".join(f"{n.network} :: {n.functor}/{n.arity}" for n, _ in self.neural)
            raise self._unsupported(self.neural[1][1], f"more than one neural predicate ({names})")
        neural = self.neural[0][0]
        (functor, arity), place = self._query((neural.functor, neural.arity))
        return Program(self.source, neural, functor, arity, self._slots(neural, (functor, arity), place))

    def _unsupported(self, place: Term, what: str) -> ProgramError:
        supported = "supported so far are rules and one `nn(network, [X], Y, [classes]) :: predicate(X, Y).`"
        return self.source.error(place, f"{what}: not supported yet; {supported}")

    def _take(self, statement: Term) -> None:
        if isinstance(statement, AnnotatedDisjunction | Or):
            raise self._unsupported(statement, "annotated disjunction with fixed probabilities")
        rule = isinstance(statement, Clause)
        head, body = (statement.head, statement.body) if rule else (statement, None)
        if head.functor == "_directive":
            if str(body) not in _HARMLESS_DIRECTIVES:
                raise self._unsupported(body, f"directive `:- {body}`")
        elif head.probability is not None:
            self._take_probability(head, body)
        elif head.functor == "evidence" and head.arity in (1, 2):
            raise self._unsupported(head, f"{head}")
        elif head.signature == "query/1":
            if body is not None:
                raise self._unsupported(head, "query/1 with conditions")
            self.queries.append(head)
        else:
            self.rules.append((head, body))

    def _take_probability(self, head: Term, body: Term | None) -> None:
        label, plain = head.probability, head.with_probability(None)
        if label.functor != "nn":
            raise self._unsupported(head, f"probability `{label} :: {plain}`")
        if label.arity != 4:
            raise self._unsupported(label, f"nn with {label.arity} arguments instead of 4")
        if body is not None:
            raise self._unsupported(label, "nn(…) with conditions after it")
        network, inputs, output, domain = label.args
        if not (is_list(inputs) and is_list(domain)):
            raise self.source.error(label, f"the inputs and the classes of nn must be lists: {_EXAMPLE}")
        images = term2list(inputs, False)
        if len(images) != 1 or not all(isinstance(v, Var) for v in (*images, output)):
            raise self._unsupported(label, f"nn whose input is {inputs} and output {output}")
        arguments = [str(a) for a in head.args]
        if sorted(arguments) != sorted([str(images[0]), str(output)]):
            raise self._unsupported(head, f"nn for {plain}")
        classes = tuple(term2list(domain, False))
        self._check_domain(label, classes)
        position = arguments.index(str(images[0]))
        self.neural.append((NeuralPredicate(str(network), head.functor, 2, position, classes), label))

    def _check_domain(self, place: Term, classes: tuple[Term, ...]) -> None:
        names = [str(symbol) for symbol in classes]
        for name in names:
            if names.count(name) > 1:
                raise self.source.error(place, f"class {name} is listed twice: the classes must differ")
        if not classes or any(isinstance(c, Var) or not c.is_ground() for c in classes):
            raise self.source.error(place, f"the classes must be constants, without variables: {_EXAMPLE}")

    def _query(self, neural: Key) -> tuple[Key, Term]:
        """The query predicate, and where to point if it does not fit."""
        defined: dict[Key, Term] = {}
        for head, _ in self.rules:
            if (head.functor, head.arity) != neural:
                defined.setdefault((head.functor, head.arity), head)
        if self.queries:
            return self._named_query(defined)
        called = called_predicates(self.rules)
        candidates = [key for key in defined if key not in called]
        if len(candidates) == 1:
            return candidates[0], defined[candidates[0]]
        place = defined[candidates[1]] if candidates else None
        what = "more than one predicate may be" if candidates else "no predicate can be told to be"
        names = ", ".join(f"{f}/{a}" for f, a in candidates or defined) or "none"
        raise self.source.error(place, f"{what} the query (candidates: {names}): name it with query(…).")

    def _named_query(self, defined: dict[Key, Term]) -> tuple[Key, Term]:
        if len(self.queries) > 1:
            raise self._unsupported(self.queries[1], "more than one query/1")
        (query,) = self.queries[0].args
        key = (query.functor, query.arity) if isinstance(query, Term) else None
        if key not in defined:
            names = ", ".join(f"{f}/{a}" for f, a in defined) or "none"
            raise self.source.error(
                self.queries[0], f"no rule defines the query {query}; defined are: {names}"
            )
        variables = {str(a) for a in query.args if isinstance(a, Var)}
        if len(variables) < query.arity:
            raise self._unsupported(query, f"query({query}) with arguments other than different variables")
        return key, query

    def _slots(self, neural: NeuralPredicate, query: Key, place: Term) -> tuple[int, ...]:
        reached = image_arguments(self.rules, (neural.functor, neural.arity), neural.image_argument)
        slots = tuple(sorted(reached.get(query, set())))
        functor, arity = query
        if len(slots) < arity or not slots:
            others = ", ".join(str(i + 1) for i in range(arity) if i not in slots)
            what = f"argument {others} of {functor}/{arity}" if others else f"{functor}/{arity}"
            raise self._unsupported(place, f"{what} does not hand an image to {neural.network}")
        return slots
