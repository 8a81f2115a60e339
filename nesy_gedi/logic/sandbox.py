"""Ground a stranger's program without letting it run code, read files or print.

The engine refuses, not a reading of the text: whichever way a program builds a goal, it ends in a builtin
of ProbLog's engine or in a file that ProbLog's database opens. Builtins are allowed by name, everything
else raises; the database opens nothing but the libraries below, from ProbLog's own folder.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import problog
from problog.engine import DefaultEngine
from problog.engine_builtin import _builtin_call
from problog.errors import GroundingError
from problog.logic import Clause, Term, Var, term2list, unquote
from problog.program import PrologFile

from nesy_gedi.logic.calls import Key, key_of
from nesy_gedi.logic.places import PlacedDatabase, PlacedEngine

_TRUST = "or pass --trust-program if you trust it"
_COPY = f"copy the clauses into this file, {_TRUST}"
_REMOVE = f"remove it, {_TRUST}"
_SCOPES = ("numbers the clauses as ProbLog happens to store them", _REMOVE)
_RUNS = ("runs a Python file", _REMOVE)
_PRINTS = ("prints while the program is grounded", _REMOVE)

# Libraries whose clauses and Python halves only compute; each was read for this. First those that hide
# what they use themselves. The last two are the halves of lists and string that are written in Python.
LIBRARIES = ("lists", "apply", "string", "cut", "builtin", "control", "aggregate", "collect", "scope")
_FILES = {**{name: f"{name}.pl" for name in LIBRARIES}, "lists.py": "lists.py", "string.py": "string.py"}
_FOLDER = Path(problog.__file__).resolve().parent / "library"
_PATHS = {name: str(_FOLDER / file) for name, file in _FILES.items()}
_REFUSED_LIBRARIES: Mapping[str, str] = {
    "db": "reads files and databases",
    "nlp4plp": "loads further files",
    "assert": "changes the program while it is grounded",
    "record": "keeps values outside the program",
    "aproblog": "replaces probabilities by other weights, which a circuit here does not have",
}

_SAFE = """
    true fail false = \\= == \\== is > < =< >= =\\= =:= @> @< @>= @=< compare findall all all_or_none
    var nonvar atom atomic compound float rational integer number simple callable dbreference primitive
    ground is_list =.. arg functor length sort between succ plus atom_number numbervars varnumbers
    subsumes_term subsumes_chk once call call_nc try_call possible clause seq sample_uniform1 nocache
    unknown error use_module _use_module subquery
"""
_SAFE_NAMES = frozenset(_SAFE.split())

_REASONS: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("consult", "_consult", "."), ("reads files", _COPY)),
    **dict.fromkeys(("write", "writenl", "writeln", "nl", "debugprint"), _PRINTS),
    **dict.fromkeys(("print_state", "dbg_printdb", "probabilityX"), _PRINTS),
    **dict.fromkeys(("create_scope", "find_scope", "call_in_scope", "subquery_in_scope"), _SCOPES),
    # ProbLog imports a module called engine_stack from wherever Python finds one, as in the working directory
    **dict.fromkeys(("set_state", "reset_state", "check_state", "condition"), _RUNS),
    **dict.fromkeys(("trace", "notrace"), ("steers ProbLog's debugger", _REMOVE)),
    "cmd_args": ("reads the command line", _REMOVE),
    "subquery": ("starts other programs", "use subquery/2 or subquery/3"),
    "module": ("renames every predicate of the program", "remove it"),
}
_UNKNOWN = ("is not known to be harmless", _REMOVE)
_STARTS_PROCESSES = {("subquery", 5)}  # names its compiler, which may be a program of its own
LOADERS = {("consult", 1), (".", 2), ("use_module", 1), ("use_module", 2)}


class RefusedError(GroundingError):
    """A program wants what an untrusted program may not do.

    Attributes:
        predicate: functor and arity of what it called.
    """

    def __init__(self, predicate: Key, message: str, location: Any = None) -> None:
        super().__init__(message, location)
        self.predicate = predicate


class _Database(PlacedDatabase):
    """A compiled program that opens no file but those of the allowed libraries."""

    def resolve_filename(self, filename: Any) -> str:
        """Path of what is loaded; consult, use_module and what reads databases all ask here.

        Raises:
            RefusedError: it is not one of the allowed libraries.
        """
        if str(filename) in _PATHS.values():  # the second time, from within ProbLog
            return str(filename)
        why = _refused_library(filename)
        if why is not None:
            raise RefusedError(("use_module", 1), why)
        return _PATHS[_library_name(filename)]


class _SandboxEngine(PlacedEngine):
    """An engine whose builtins only compute; ProbLog makes further ones of the same class by itself."""

    database_class = _Database

    def load_builtins(self) -> None:
        """Load ProbLog's builtins and put a refusal in the place of those that are not allowed."""
        super().load_builtins()
        for key in _registered(self):
            if key[0] == "try_call":
                self.add_builtin(*key, _try_call)
            elif (why := _refusal(key)) is not None:
                self.add_builtin(*key, _refusing(key, why))


def make_engine(trusted: bool = False) -> DefaultEngine:
    """An engine to ground with.

    Args:
        trusted: whether the program may do all that ProbLog allows: read files, import Python, print.

    Its errors are ProbLog's; see :class:`~nesy_gedi.logic.places.PlacedEngine` for what they carry. An
    engine that does not trust the program raises :class:`RefusedError` besides.
    """
    return PlacedEngine() if trusted else _SandboxEngine()


def refused(key: Key) -> str | None:
    """Why an untrusted program may not call a builtin, and what to do; None if it may, or if it is none."""
    return _refusal(key) if key in _registered() else None


def _refusal(key: Key) -> str | None:
    if key[0] in _SAFE_NAMES and key not in _STARTS_PROCESSES:
        return None
    reason, instead = _REASONS.get(key[0], _UNKNOWN)
    functor, arity = as_written(key)
    shown = "a list as a goal" if functor == "." else f"{functor}/{arity}"
    return f"{shown} {reason}: not allowed in a program; {instead}"


def as_written(key: Key) -> Key:
    """The predicate that the text names, where ProbLog has put another one with an argument more."""
    hidden = key[0] in ("_consult", "_use_module")
    return (key[0][1:], key[1] - 1) if hidden else key


def refused_import(goal: Term) -> str | None:
    """The same for what ``use_module`` loads; None for any other goal."""
    if goal.functor != "use_module" or goal.arity not in (1, 2):
        return None
    return _refused_library(goal.args[0])


@lru_cache
def builtins() -> frozenset[Key]:
    """Predicates that an untrusted program may call without defining or importing them."""
    own = {key for key in _registered() if refused(key) is None and not key[0].startswith("_")}
    return frozenset(own | {("forall", 2)})  # library(builtin) is always there


@lru_cache
def library_predicates(name: str) -> frozenset[Key]:
    """Predicates that ``:- use_module(library(name))`` brings; none if the library is not allowed."""
    if name not in _PATHS:
        return frozenset()
    if name.endswith(".py"):
        _, exported = _Database(builtins={}).load_external_module(_PATHS[name])
        return frozenset(_indicator(item) for item in exported)
    found: set[Key] = set()
    for statement in PrologFile(_PATHS[name]):
        body = statement.body if isinstance(statement, Clause) else None
        if body is not None and statement.head.functor == "_directive":
            if key_of(body) == ("module", 2):  # hides all that it does not list
                return frozenset(_indicator(item) for item in term2list(body.args[1], False))
            found |= imported(body)
        else:
            found.add(key_of(statement.head if isinstance(statement, Clause) else statement))
    return frozenset(found)


def imported(goal: Term) -> frozenset[Key]:
    """Predicates that a goal ``use_module(library(name))`` or ``use_module(library(name), list)`` brings."""
    if goal.functor != "use_module" or goal.arity not in (1, 2) or _refused_library(goal.args[0]) is not None:
        return frozenset()
    everything = library_predicates(_library_name(goal.args[0]))
    if goal.arity == 1:
        return everything
    chosen = goal.args[1]
    try:
        if chosen.functor == "except":
            return everything - {_indicator(item) for item in term2list(chosen.args[0], False)}
        items = term2list(chosen, False)
        renamed = [i.args if key_of(i) == ("as", 2) else (i, i.args[0]) for i in items]
        return frozenset((unquote(str(new)), _indicator(old)[1]) for old, new in renamed)
    except (AttributeError, IndexError, TypeError, ValueError):  # no list of name/arity: ProbLog will say so
        return frozenset()


def _indicator(term: Term) -> Key:
    """``member/2`` as a key."""
    return unquote(str(term.args[0])), int(term.args[1])


@lru_cache
def _default() -> frozenset[Key]:
    return _registered(DefaultEngine())


def _registered(engine: DefaultEngine | None = None) -> frozenset[Key]:
    """All builtins of an engine; of ProbLog's own by default."""
    if engine is None:
        return _default()
    split = (signature.rsplit("/", 1) for signature in engine.get_builtins())
    return frozenset((name, int(arity)) for name, arity in split)


def _library_name(filename: Any) -> str:
    is_library = isinstance(filename, Term) and filename.signature == "library/1"
    return str(unquote(str(filename.args[0]))) if is_library else ""


def _refused_library(filename: Any) -> str | None:
    name = _library_name(filename)
    if name in _PATHS:
        return None
    if name in _REFUSED_LIBRARIES:
        return f"library({name}) {_REFUSED_LIBRARIES[name]}: not allowed in a program; {_REMOVE}"
    if not name or isinstance(filename.args[0], Var):
        shown = filename if isinstance(filename, Term) else "_"
        return f"use_module({shown}) reads files: not allowed in a program; {_COPY}"
    known = ", ".join(LIBRARIES)
    return f"there is no library({name}) that is known to be harmless: choose from {known}, {_TRUST}"


def _refusing(key: Key, why: str) -> Callable[..., Any]:
    def refuse(*arguments: Any, **context: Any) -> Any:
        raise RefusedError(as_written(key), why)

    return refuse


def _try_call(term: Any, *arguments: Any, **context: Any) -> Any:
    """try_call/N: fails where the goal raises, but hides no refusal; ProbLog's own hides everything."""
    try:
        return _builtin_call(term, arguments, **context)
    except (RefusedError, MemoryError, RecursionError):
        raise
    except Exception:
        return True, context["callback"].notifyComplete()
