"""Read a DeepProbLog program from its file, check all of it, and settle which query is meant."""

from collections.abc import Container
from itertools import count
from pathlib import Path

from problog.errors import ParseError
from problog.logic import Term, Var
from problog.program import PrologString

from nesy_gedi.logic.calls import Key, calls, key_of
from nesy_gedi.logic.declarations import NeuralPredicate, Parameter, Program
from nesy_gedi.logic.mistakes import check_calls
from nesy_gedi.logic.slots import image_arguments, image_variables, variables
from nesy_gedi.logic.source import ProgramError, Source, read_source
from nesy_gedi.logic.statements import Statements

__all__ = [
    "NeuralPredicate",
    "Parameter",
    "Program",
    "ProgramError",
    "choose_query",
    "parse_program",
    "read_program",
]


def read_program(path: str | Path, query: str | None = None, trusted: bool = False) -> Program:
    """Read and check the DeepProbLog program in a file.

    Args:
        path: the ``.pl`` file.
        query: the query as text, for example ``"addition(X, Y, Z)"``. By default the one that the
            program's ``query/1`` names, else the predicate that no other predicate calls.
        trusted: let the program read files and run code while it is grounded.

    Raises:
        UserError: there is no such file, or it is not a text file.
        ProgramError: the first mistake in the program.
    """
    return parse_program(read_source(Path(path)), query, trusted)


def parse_program(source: Source, query: str | None = None, trusted: bool = False) -> Program:
    """Read and check a program whose text is at hand; see :func:`read_program`."""
    statements = Statements(source, trusted)
    if statements.errors:
        raise statements.errors[0]
    return choose_query(statements, query)


def choose_query(statements: Statements, text: str | None = None) -> Program:
    """The program with the query that is meant: the one in ``text``, else its own.

    Raises:
        ProgramError: it cannot be told which query, or the query does not fit.
    """
    query = _query(statements, text)
    networks = []
    for neural in statements.neural:
        names = {str(v) for image in neural.inputs for v in variables(image)}
        places = {i for i, a in enumerate(neural.head.args) if isinstance(a, Var) and str(a) in names}
        networks.append(((neural.head.functor, neural.head.arity), places))
    images, lists = image_variables(query, image_arguments(statements.rules, networks))
    if lists:
        raise statements.source.error(
            query,
            f"{lists[0]} in {query} stands for a list of images of no known length: write the list out, "
            f"as in query({query.functor}([A, B], …)) or --query",
        )
    slots = {str(v) for v in images}
    symbols = tuple(dict.fromkeys(v for v in variables(query) if str(v) not in slots))
    return Program(
        source=statements.source,
        statements=tuple(statements.taken),
        neural=tuple(statements.neural),
        parameters=tuple(statements.parameters),
        evidence=tuple(statements.evidence),
        query=query,
        slots=tuple(images),
        symbols=symbols,
        rules=tuple(statements.rules),
        support=tuple(head for head, body in statements.rules if head.functor == "support" and body is None),
        trusted=statements.trusted,
        asked=text,
        line_info=statements.line_info,
    )


def _query(statements: Statements, text: str | None) -> Term:
    if text is not None:
        return _asked(statements, text)
    if len(statements.queries) == 1:
        own = statements.queries[0]
        return _known(statements, _named(own.args[0]), statements.source, own)
    if statements.queries:
        names = "; ".join(f"--query '{query.args[0]}'" for query in statements.queries)
        raise statements.source.error(statements.queries[1], f"more than one query: choose one of {names}")
    defined: dict[Key, Term] = {}
    for head, _ in statements.rules:
        if head.functor not in ("support", "_directive"):
            defined.setdefault((head.functor, head.arity), head)
    neural = {(n.head.functor, n.head.arity) for n in statements.neural}
    rules = [*statements.rules, *((Term("evidence"), atom) for atom, _ in statements.evidence)]
    called = {call.key for head, body in rules for call in calls(body) if call.key != key_of(head)}
    candidates = [key for key in defined if key_of(defined[key]) not in called]
    candidates = [key for key in candidates if key not in neural] or candidates
    if len(candidates) == 1:
        (functor, arity) = candidates[0]
        return _generic(functor, arity, defined[candidates[0]])
    place = defined[candidates[1]] if candidates else None
    what = "more than one predicate may be" if candidates else "no predicate can be told to be"
    names = ", ".join(f"{f}/{a}" for f, a in candidates or defined) or "none"
    raise statements.source.error(
        place,
        f"{what} the query (candidates: {names}): name it with query(…). in the program, or --query",
    )


def _asked(statements: Statements, text: str) -> Term:
    asked = Source(Path("query"), text)  # where mistakes in it are
    try:
        (term,) = PrologString(text.strip().rstrip(".") + ".")
    except (ParseError, ValueError):
        term = None
    if type(term) is not Term or term.probability is not None:
        raise asked.error(None, f"the query {text!r} is not one atom: write it like 'addition(X, Y, Z)'")
    _forget_places(term)
    return _known(statements, _named(term), asked, None)


def _known(statements: Statements, query: Term, source: Source, place: Term | None) -> Term:
    """The query, if there are clauses for it; else an error at a place of a text."""
    defined = {(head.functor, head.arity) for head, _ in statements.rules}
    if (query.functor, query.arity) in defined:
        return query
    errors = check_calls(
        statements.source,
        [*statements.rules, (Term("query"), query)],
        set(),
        statements.libraries(),
        statements.trusted,
    )
    known = ", ".join(sorted(f"{f}/{a}" for f, a in defined if f != "_directive")) or "none"
    hint = f": {str(errors[-1]).split(': ', 1)[1]}" if errors else ""
    where = f"defined in {statements.source.path} are {known}"
    raise source.error(place, f"no rule defines the query {query}{hint} ({where})")


def _forget_places(term: Term) -> None:
    """A query that is not in the program has no place there; neither have the terms in it."""
    term.location = None
    for argument in term.args:
        if isinstance(argument, Term):
            _forget_places(argument)


def _named(query: Term) -> Term:
    """The query with a name of its own for every ``_``."""
    taken = {str(variable) for variable in variables(query)}

    def name(term: Term) -> Term:
        if isinstance(term, Var):
            if str(term) != "_":
                return term
            new = _free_name("_", 1, taken)
            taken.add(new)
            return Var(new)
        if isinstance(term, Term) and term.args:
            return term.with_args(*(name(argument) for argument in term.args))
        return term

    return name(query)


def _generic(functor: str, arity: int, head: Term) -> Term:
    """A query of different variables, with the names that the predicate's first clause gives them."""
    taken = {str(argument) for argument in head.args if isinstance(argument, Var)}
    names: list[str] = []
    for position, argument in enumerate(head.args, 1):
        given = str(argument) if isinstance(argument, Var) else ""
        if not given[:1].isalpha() or given in names:
            given = _free_name("A", position, taken)
        names.append(given)
        taken.add(given)
    return Term(functor, *(Var(name) for name in names), location=head.location)


def _free_name(prefix: str, number: int, taken: Container[str]) -> str:
    """``A3``, or the first of ``A4``, ``A5``, … that is not taken."""
    return next(name for k in count(number) if (name := f"{prefix}{k}") not in taken)
