"""ProbLog's engine, with a place in the program for every error.

ProbLog gives no place for some errors, and a place inside its own library for others. While it grounds,
the calls that led there stand on its stack: the innermost one that the program itself wrote is the place.
"""

from collections.abc import Iterator
from typing import Any

from problog.clausedb import ClauseDB
from problog.engine import DefaultEngine, NonGroundProbabilisticClause, UnknownClauseInternal
from problog.engine_unify import UnifyError
from problog.errors import GroundingError, NonGroundQuery, ParseError, ProbLogError
from problog.eval_nodes import EvalDefine
from problog.formula import LogicFormula
from problog.logic import Term, is_ground


class EngineError(GroundingError):
    """ProbLog itself broke: a Python error in a builtin, in a library, or in the engine."""


class PlacedDatabase(ClauseDB):
    """ProbLog's compiled program."""

    def __init__(self, builtins: dict[str, int] | None = None, parent: ClauseDB | None = None) -> None:
        self._builtins = builtins
        super().__init__(builtins=builtins, parent=parent)

    def extend(self) -> "PlacedDatabase":
        """A copy that shares what is there: findall/3 puts its goal into one."""
        return type(self)(builtins=self._builtins, parent=self)

    def lineno(self, char: Any, force_filename: bool = False) -> Any:
        """Line and column of a place; None in a file that ProbLog has lost track of."""
        try:
            return super().lineno(char, force_filename)
        except IndexError:  # the clauses of library(builtin) are loaded before there is a list of files
            return None


class PlacedEngine(DefaultEngine):
    """ProbLog's engine; what it raises knows where in the program, and with which arguments.

    Every error raised while grounding is a ``ProbLogError``, except where memory or Python's stack ends.
    Attributes that errors get, where they are known: ``location``, the goal's file (None for the program),
    line and column; ``arguments``, those of the goal at that place; ``unbound``, numbers of the variables
    without a value in a probabilistic clause; ``query``, the query with variables left.
    """

    database_class: type[PlacedDatabase] = PlacedDatabase

    def prepare(self, db: Any) -> PlacedDatabase:
        """Compile a program and run its directives.

        Raises:
            EngineError: Python failed within the engine; errors of ProbLog's own pass through.
        """
        try:
            database: PlacedDatabase = self.database_class.createFrom(db, builtins=self.get_builtins())
        except (ProbLogError, MemoryError, RecursionError):
            raise
        except Exception as error:
            raise EngineError(f"{type(error).__name__}: {error}") from error
        database.engine = self
        self._process_directives(database)
        return database

    def ground(self, db: Any, term: Term, *args: Any, **kwargs: Any) -> LogicFormula:
        """Ground one query or one piece of evidence."""
        try:
            return super().ground(db, term, *args, **kwargs)
        except NonGroundQuery as error:
            error.query = term
            raise

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Run a goal to its end.

        Raises:
            EngineError: Python failed within the engine; errors of ProbLog's own pass through.
        """
        try:
            return super().execute(*args, **kwargs)
        except (ProbLogError, MemoryError, RecursionError, UnknownClauseInternal):
            raise
        except Exception as error:
            raise EngineError(f"{type(error).__name__}: {error}") from error

    def eval(self, node_id: int, **kwargs: Any) -> Any:
        """Evaluate one node of the compiled program.

        Raises:
            EngineError: Python failed within the engine, or a loaded file cannot be parsed; other errors of
                ProbLog's own pass through, with their place.
        """
        try:
            return super().eval(node_id, **kwargs)
        except UnifyError:  # length([a, b | T], 1) raises this where it means to fail
            return self.skip(node_id, **kwargs)
        except ParseError as error:  # of a file that a trusted program loads
            failure = EngineError(f"while loading a file: {error}")
            self._place(failure, kwargs)
            raise failure from error
        except ProbLogError as error:
            self._place(error, kwargs)
            raise
        except (MemoryError, RecursionError, UnknownClauseInternal):
            raise
        except Exception as error:
            failure = EngineError(f"{type(error).__name__}: {error}")
            self._place(failure, kwargs)
            raise failure from error

    def handle_nonground(self, database: Any = None, node: Any = None, result: Any = (), **_: Any) -> None:
        """Called where a probabilistic clause has variables left.

        Raises:
            NonGroundProbabilisticClause: always; it knows which.
        """
        error = NonGroundProbabilisticClause(location=database.lineno(node.location))
        error.unbound = [i for i, v in enumerate(result) if i not in node.locvars and not is_ground(v)]
        raise error

    def _place(self, error: ProbLogError, kwargs: dict[str, Any]) -> None:
        database, origin = kwargs["database"], kwargs.get("call_origin")
        if not _in_program(error.location):
            place = self._innermost_call(kwargs)
            if place is None:
                return
            error.location = database.lineno(place)
        at_origin = (
            origin is not None and _written(origin[1]) and database.lineno(origin[1]) == error.location
        )
        if at_origin and not hasattr(error, "arguments"):
            error.arguments = tuple(kwargs["context"])

    def _innermost_call(self, kwargs: dict[str, Any]) -> Any:
        """Location of the goal of the program that is being run, also if a library runs something for it."""
        origin = kwargs.get("call_origin")
        if origin is not None and _written(origin[1]):
            return origin[1]
        if origin is not None and origin[1] == (0, None):  # a list as a goal: only its elements have places
            places = [getattr(argument, "location", None) for argument in kwargs["context"]]
            return next(filter(_written, places), None)
        pointer = kwargs.get("parent")
        while pointer is not None:
            node = self.stack[pointer]
            if isinstance(node, EvalDefine) and node.current_clause is not None:
                clause = node.database.get_node(node.current_clause)
                for location in _call_sites(node.database, clause, node.node):
                    if _written(location):
                        return location
            pointer = node.parent
        return None


def _in_program(location: Any) -> bool:
    """Whether an error's location is a line and a column of the program, not of a library."""
    return isinstance(location, tuple) and len(location) == 3 and location[0] is None


def _written(location: Any) -> bool:
    """Whether a term's location is in the program: file number 0."""
    return isinstance(location, tuple) and len(location) == 2 and location[0] == 0 and location[1] is not None


def _call_sites(database: ClauseDB, node: Any, callee: Any) -> Iterator[Any]:
    """Locations of the goals below a node of the compiled program that call a predicate."""
    kind = type(node).__name__
    if kind == "call" and node.defnode >= 0 and database.get_node(node.defnode) is callee:
        yield node.location
    children = (
        node.children if kind in ("conj", "disj") else (node.child,) if kind in ("clause", "neg") else ()
    )
    for child in children:
        yield from _call_sites(database, database.get_node(child), callee)
