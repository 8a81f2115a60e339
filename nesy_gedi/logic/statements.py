"""Take a program's text apart, statement by statement, and collect every mistake in it.

What is not supported is refused with the place in the file where it stands, never ignored:
a constraint that silently lost its `evidence` would train a network on something else.
"""

from collections.abc import Sequence

from problog.logic import (
    And,
    AnnotatedDisjunction,
    Clause,
    Constant,
    InstantiationError,
    Not,
    Or,
    Term,
    Var,
    term2list,
    unquote,
)
from problog.program import PrologString

from nesy_gedi.logic.calls import Rule
from nesy_gedi.logic.declarations import NeuralPredicate, Parameter
from nesy_gedi.logic.mistakes import check_calls
from nesy_gedi.logic.slots import variables
from nesy_gedi.logic.source import ProgramError, Source

_EXAMPLE = "nn(net, [X], Y, [0, 1, 2]) :: digit(X, Y)."
_FALSE_TRUE = (Term("false"), Term("true"))
_SPECIAL = {"query": (1,), "evidence": (1, 2)}  # arities of the statements that ProbLog itself reads


class Statements:
    """One source text, taken apart.

    Attributes:
        taken: clauses and directives that are grounded as they are.
        neural: the neural predicates.
        parameters: the disjunctions with learnable probabilities.
        evidence: ground atoms, and whether they are true.
        queries: the atoms ``query(…)``.
        rules: heads and bodies of all clauses.
        errors: every mistake found, in the order of the text.
    """

    def __init__(self, source: Source, trusted: bool = False) -> None:
        self.source, self.trusted = source, trusted
        self.taken: list[Term] = []
        self.neural: list[NeuralPredicate] = []
        self.parameters: list[Parameter] = []
        self.evidence: list[tuple[Term, bool]] = []
        self.queries: list[Term] = []
        self.rules: list[Rule] = []
        self.errors: list[ProgramError] = []
        self.line_info: object = None
        try:
            statements = source.statements()
            self.line_info = PrologString(source.text).line_info
        except ProgramError as error:
            self.errors.append(error)
            return
        for statement in statements:
            try:
                self._take(statement)
            except ProgramError as error:
                self.errors.append(error)
                # what it defines is defined all the same: no second error where it is called
                heads, body = _parts(statement)
                self.rules += [(h.with_probability(None), body) for h in heads if h.functor not in _SPECIAL]
        evidence = [(Term("evidence"), atom) for atom, _ in self.evidence]
        self.errors += check_calls(source, [*self.rules, *evidence], set(), self.libraries(), trusted)
        if not self.neural and not self.errors:
            self.errors.append(
                source.error(None, f"no network is mentioned: write one, for example {_EXAMPLE}")
            )
        self.errors += self._sizes()
        self.errors.sort(key=lambda error: (error.line, error.column))

    def libraries(self) -> list[str]:
        """Names in ``:- use_module(library(name))``."""
        found = []
        for head, body in self.rules:
            if head.functor == "_directive" and isinstance(body, Term) and body.functor == "use_module":
                library = body.args[0]
                if isinstance(library, Term) and library.signature == "library/1":
                    found.append(str(library.args[0]).strip("'"))
        return found

    def _sizes(self) -> list[ProgramError]:
        """One network has one number of inputs and of outputs."""
        first: dict[str, NeuralPredicate] = {}
        errors = []
        for neural in self.neural:
            other = first.setdefault(neural.network, neural)
            for what, above, here in (
                ("classes", len(other.domain), len(neural.domain)),
                ("inputs", len(other.inputs), len(neural.inputs)),
            ):
                if above != here:
                    message = (
                        f"{neural.network} has {above} {what} above and {here} here: one network has one "
                        "shape; give the second another name"
                    )
                    errors.append(self.source.error(neural.head.probability, message))
        return errors

    def _take(self, statement: Term) -> None:
        heads, body = _parts(statement)
        labels = [head.probability for head in heads]
        if heads[0].functor in ("query", "evidence", "support") and any(
            label is not None for label in labels
        ):
            raise self.source.error(heads[0], f"{heads[0].functor}(…) has no probability: leave it out")
        if heads[0].arity not in _SPECIAL.get(heads[0].functor, (heads[0].arity,)):
            raise self.source.error(
                heads[0],
                f"{heads[0].functor}/{heads[0].arity} means nothing to ProbLog, which knows query/1 and "
                "evidence/1,2: mend it, or give your predicate another name",
            )
        if heads[0].functor == "_directive":
            self.taken.append(statement)
        elif any(_is(label, "nn") for label in labels):
            self._take_neural(heads, body)
        elif any(_is(label, "t") for label in labels):
            self._take_parameter(heads, body)
        elif heads[0].functor == "query" and heads[0].arity == 1:
            return self._take_query(heads[0], body)
        elif heads[0].functor == "evidence" and heads[0].arity in (1, 2):
            return self._take_evidence(heads[0], body)
        else:
            self._check_probabilities(heads)
            if heads[0].functor == "support" and body is not None:
                raise self.source.error(
                    heads[0],
                    "support(…) lists readings, from which examples are drawn, as facts without conditions: "
                    "write them so, or give your predicate another name",
                )
            self.taken.append(statement)
        self.rules += [(head, body) for head in heads]
        return None

    def _check_probabilities(self, heads: Sequence[Term]) -> None:
        values = []
        for head in heads:
            if head.probability is None:
                if len(heads) > 1:
                    raise self.source.error(head, f"{head} has no probability beside others: give it one")
                continue
            if str(head.probability) == "?":
                raise self.source.error(head, "decisions `?::` are DTProbLog's: give a probability, or t(_)")
            try:
                value = _value(head.probability)
            except (InstantiationError, ValueError, TypeError, AttributeError):
                continue  # `P :: a(P)`, settled while grounding
            except Exception as error:
                raise self.source.error(head, f"the probability {head.probability} is no number") from error
            if not 0 <= value <= 1:
                raise self.source.error(
                    head,
                    f"the probability of {head.with_probability(None)} is {value:g}: give one from 0 to 1",
                )
            values.append(value)
        if sum(values) > 1 + 1e-9:
            raise self.source.error(
                heads[0], f"the probabilities of the alternatives sum to {sum(values):g}: make it 1 or less"
            )

    def _take_query(self, head: Term, body: Term | None) -> None:
        if body is not None:
            raise self.source.error(
                head,
                "query/1 with conditions is not supported: write them into the predicate that is asked",
            )
        if not isinstance(head.args[0], Term) or isinstance(head.args[0], Var):
            raise self.source.error(
                head, f"{head} asks nothing: name a predicate, as in query(addition(X, Y, Z))."
            )
        self.queries.append(head)

    def _take_evidence(self, head: Term, body: Term | None) -> None:
        if body is not None:
            raise self.source.error(
                head, "evidence with conditions is not supported: state the atoms themselves"
            )
        atom, value = head.args[0], True
        if head.arity == 2:
            if str(head.args[1]) not in ("true", "false"):
                raise self.source.error(head, f"evidence is `true` or `false`, not {head.args[1]}")
            value = str(head.args[1]) == "true"
        while isinstance(atom, Not) or _is(atom, "\\+"):
            atom, value = (atom.child if isinstance(atom, Not) else atom.args[0]), not value
        if isinstance(atom, And | Or):
            raise self.source.error(head, f"the evidence {atom} is not one atom: state them one by one")
        for variable in variables(atom):
            raise self.source.error(
                head, f"the evidence {atom} has the variable {variable}: state ground atoms, one by one"
            )
        self.evidence.append((atom, value))

    def _take_parameter(self, heads: Sequence[Term], body: Term | None) -> None:
        fixed: list[float | None] = []
        initial: list[float | None] = []
        for head in heads:
            label = head.probability
            if _is(label, "t") and label.arity != 1:
                raise self.source.error(
                    head,
                    f"t with {label.arity} arguments is not supported: write t(p) :: with a first value p",
                )
            if label is None:
                raise self.source.error(head, f"{head} has no probability beside others: give it one")
            given = label.args[0] if _is(label, "t") else label
            value = None if isinstance(given, Var) else self._number(head, given)
            fixed.append(None if _is(label, "t") else value)
            initial.append(value if _is(label, "t") else None)
        if sum(value for value in (*fixed, *initial) if value is not None) > 1 + 1e-9:
            raise self.source.error(heads[0], "the probabilities sum to more than 1: lower the first values")
        plain = tuple(head.with_probability(None) for head in heads)
        self.parameters.append(Parameter(plain, body, tuple(fixed), tuple(initial)))

    def _number(self, head: Term, given: Term) -> float:
        try:
            value = _value(given)
        except Exception:
            raise self.source.error(
                head, f"the probability {given} is no number: write t(0.5) :: or t(_) ::"
            ) from None
        if not 0 <= value <= 1:
            raise self.source.error(head, f"the probability {value:g} is not in 0 to 1")
        return value

    def _take_neural(self, heads: Sequence[Term], body: Term | None) -> None:
        label = heads[0].probability
        if len(heads) > 1:
            raise self.source.error(heads[1], f"nn(…) takes all its classes as one list: {_EXAMPLE}")
        if label.arity not in (2, 4):
            raise self.source.error(
                label,
                f"nn with {label.arity} arguments: not supported; write {_EXAMPLE} or nn(net, [X]) :: p(X).",
            )
        output, domain = None, _FALSE_TRUE
        try:
            images = tuple(term2list(label.args[1], False))
            if label.arity == 4:
                output, domain = label.args[2], tuple(term2list(label.args[3], False))
        except ValueError:
            images = ()
        if isinstance(label.args[0], Var) or label.args[0].arity:
            raise self.source.error(
                label, f"{label.args[0]} is no name of a network: it starts with a small letter: {_EXAMPLE}"
            )
        if not images or not domain:
            raise self.source.error(
                label, f"the inputs and the classes of nn must be lists that are not empty: {_EXAMPLE}"
            )
        if label.arity == 4:
            if not isinstance(output, Var):
                raise self.source.error(
                    label, f"the output of nn must be a variable, not {output}: {_EXAMPLE}"
                )
            if output in [v for image in images for v in variables(image)]:
                raise self.source.error(
                    label, f"{output} is input and output of nn: take two variables: {_EXAMPLE}"
                )
            self._check_domain(label, domain)
        bound = {
            str(v) for v in (*variables(heads[0].with_probability(None)), *(variables(body) if body else ()))
        }
        for variable in [v for image in images for v in variables(image)] + ([output] if output else []):
            if str(variable) not in bound:
                raise self.source.error(
                    label,
                    f"the variable {variable} of nn is not in {heads[0].with_probability(None)}: {_EXAMPLE}",
                )
        name = unquote(str(label.args[0]))
        self.neural.append(NeuralPredicate(name, images, output, domain, heads[0], body))

    def _check_domain(self, place: Term, classes: tuple[Term, ...]) -> None:
        names = [str(symbol) for symbol in classes]
        for name in names:
            if names.count(name) > 1:
                raise self.source.error(place, f"class {name} is listed twice: the classes must differ")
        if any(isinstance(c, Var) or not c.is_ground() for c in classes):
            raise self.source.error(place, f"the classes must be constants, without variables: {_EXAMPLE}")


def _parts(statement: Term) -> tuple[list[Term], Term | None]:
    if isinstance(statement, AnnotatedDisjunction):
        return list(statement.heads), statement.body
    if isinstance(statement, Clause):
        head = statement.head
        return (head.to_list() if isinstance(head, Or) else [head]), statement.body
    if isinstance(statement, Or):
        return statement.to_list(), None
    return [statement], None


def _value(label: Term) -> float:
    """The number that a probability expression stands for, in floats: 9 ** 9 ** 9 ** 9 is no long job."""
    value = _in_floats(label).compute_value()
    return float(value)


def _in_floats(label: Term) -> Term:
    if isinstance(label, Constant):
        return Constant(float(label.value)) if isinstance(label.value, int) else label
    return label.with_args(*map(_in_floats, label.args)) if label.args else label


def _is(label: object, functor: str) -> bool:
    return (
        isinstance(label, Term)
        and not isinstance(label, Var)
        and label.functor == functor
        and label.arity > 0
    )
