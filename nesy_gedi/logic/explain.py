"""What ProbLog raises while it grounds, as an error with a place in the program and something to do."""

import re
from collections.abc import Callable, Sequence

from problog.clausedb import AccessError
from problog.engine import NonGroundProbabilisticClause, UnknownClause
from problog.engine_builtin import CallModeError, IndirectCallCycleError
from problog.engine_unify import OccursCheck
from problog.errors import InconsistentEvidenceError, NonGroundQuery, ParseError, ProbLogError
from problog.errors import UserError as StoppedByProgram
from problog.eval_nodes import NegativeCycle
from problog.logic import ArithmeticError as ProbLogArithmeticError
from problog.logic import InstantiationError, Not, Term

from nesy_gedi.logic.calls import Rule, calls, key_of
from nesy_gedi.logic.cycles import indirect_cycle, name, negative_cycle
from nesy_gedi.logic.places import EngineError
from nesy_gedi.logic.sandbox import RefusedError, as_written
from nesy_gedi.logic.source import ProgramError, Source, first_character
from nesy_gedi.logic.unbound import unbound_in_clause, unbound_in_goal, variables

_ARITHMETIC = {"is", "<", ">", "=<", ">=", "=:=", "=\\="}


def explain(source: Source, error: ProbLogError, rules: Sequence[Rule] = ()) -> ProgramError:
    """An error of ProbLog's in our words: which goal, which variable, and what to do.

    It is most precise for what an engine from :func:`~nesy_gedi.logic.sandbox.make_engine` raises.

    Args:
        source: the program's text.
        error: what grounding or parsing raised.
        rules: heads and bodies of all clauses.
    """
    if isinstance(error, ParseError):
        return source.problog_error(error)
    return _Explanation(source, error, rules).error_in_our_words()


class _Explanation:
    """One error, with the goal and the clause that stand at its place."""

    def __init__(self, source: Source, error: ProbLogError, rules: Sequence[Rule]) -> None:
        self.source, self.error, self.rules = source, error, rules
        self.reason = str(error.base_message).rstrip(".")
        location = error.location
        in_program = isinstance(location, tuple) and len(location) == 3 and location[0] is None
        self.offset: int | None = source.offset(*location[1:]) if in_program else None
        self.goal = self._goal_there()
        self.place = first_character(self.goal) if self.goal is not None else self.offset

    def error_in_our_words(self) -> ProgramError:
        kinds: list[tuple[type[ProbLogError], Callable[[], str | ProgramError]]] = [
            (RefusedError, lambda: self.reason),
            (UnknownClause, self._unknown),
            (NonGroundProbabilisticClause, self._nonground_clause),
            (CallModeError, self._call_mode),
            (InstantiationError, self._arithmetic),
            (ProbLogArithmeticError, self._arithmetic),
            (NonGroundQuery, self._nonground_query),
            (NegativeCycle, self._negative_cycle),
            (IndirectCallCycleError, self._indirect_cycle),
            (OccursCheck, self._occurs_check),
            (InconsistentEvidenceError, self._evidence),
            (StoppedByProgram, lambda: f"the program stops by error/N: {self.reason}"),
            (AccessError, self._access),
            (EngineError, lambda: f"{self._shown()} breaks ProbLog ({self.reason}): write it differently"),
        ]
        for kind, explanation in kinds:
            if isinstance(self.error, kind):
                found = explanation()
                return found if isinstance(found, ProgramError) else self._at(self.place, found)
        return self._other()

    def _at(self, offset: int | None, message: str) -> ProgramError:
        return self.source.error_at(offset or 0, message)

    def _goal_there(self) -> Term | None:
        """The goal whose name or operator stands at the place."""
        found = (
            call.goal for _, body in self.rules for call in calls(body) if _is_at(call.goal, self.offset)
        )
        return next(found, None)

    def _head_there(self) -> Term | None:
        return next((head for head, _ in self.rules if _is_at(head, self.offset)), None)

    def _shown(self) -> str:
        there = self.goal if self.goal is not None else self._head_there()
        if there is not None:
            return f"`{there}`"
        word = re.match(r"\w+", self.source.text[self.offset :]) if self.offset is not None else None
        return f"`{word[0]}`" if word else "a goal"

    def _unknown(self) -> str:
        functor, _, arity = self.error.signature.replace("'", "").rpartition("/")
        if functor in (",", ";"):
            return "a goal made while grounding cannot be (a, b) or (a ; b): define a predicate by it"
        return f"no clause defines {name(as_written((functor, int(arity))))}: write one, or mend the name"

    def _nonground_clause(self) -> str:
        rule = next((r for r in self.rules if _is_at(r[0], self.offset)), None)
        if rule is None:  # a probabilistic clause of a library, as below select_uniform/4
            return f"{self._shown()} chooses by chance, and needs values: bind its variables before"
        head, body = rule
        names = unbound_in_clause(self.error, rule, self.rules) or ["a variable"]
        missing = f"{' and '.join(names)} {'have no values' if len(names) > 1 else 'has no value'}"
        plain = head.with_probability(None)
        if getattr(head.probability, "functor", "") == "nn":
            return f"{missing} where {plain} is called: put the goals that give images before it"
        if body is None:
            remedy = f"call it with values, or write `{head} :- value({names[0]}).`"
            return f"{missing} where {plain} is called, but a probability is that of one fact: {remedy}"
        return f"{missing} after the body of {plain}, but its probability is that of one fact: bind it there"

    def _call_mode(self) -> str:
        scope = getattr(self.error, "scope", None)
        takes = f"it takes ({') or ('.join(self.error.expected)})"
        if not self.error.expected:
            takes = f"it takes {self.reason.split('expected: ')[-1]}"
        if self.goal is None or (scope and scope != name(key_of(self.goal))):
            return f"{self._shown()} runs {scope or 'a builtin'} with ({self.error.received}), but {takes}"
        names = unbound_in_goal(self.error, self.goal) if self.error.expected else []
        if not names and key_of(self.goal)[0] in _ARITHMETIC:  # an error of ProbLog's own engine
            names = list(dict.fromkeys(variables(self.goal.args[-1])))
        if not names:
            return f"`{self.goal}` is called with ({self.error.received}), but {takes}"
        missing, them = f"{names[0]} has no value", "it"
        if len(names) > 1:
            missing, them = f"{' and '.join(names)} have no values", "them"
        return f"{self._shown()}: {missing} yet; put the goals that bind {them} before this one"

    def _arithmetic(self) -> str:
        reason = self.reason.rsplit(": ", 1)[-1]
        if reason.startswith("Unknown function"):
            function = reason.removeprefix("Unknown function ").replace("'", "")
            if function in ("nn/3", "t/2"):  # placeholders: see NeuralPredicate.expanded
                return (
                    f"{self._shown()}: what a network says is not known while grounding: call the goal itself"
                )
            return f"{self._shown()}: {function} is no number; functions are + - * / // mod ** min max"
        reason = reason[:1].lower() + reason[1:]
        return f"{self._shown()}: {reason}; exclude such values by a goal before"

    def _nonground_query(self) -> str | ProgramError:
        query = getattr(self.error, "query", None)
        for head, body in self.rules:
            if query is not None and key_of(head) == key_of(query):
                given = set(variables(body, positive=True))
                loose = [v for v in variables(head) if v not in given]
                if loose:
                    what = f"{loose[0]} has no value in an answer: call a goal that gives it one"
                    return self.source.error(head, what)
        shown = f"the query {query}" if query is not None else "a query"
        return f"{shown} has variables left in an answer: let the bodies of its clauses bind them"

    def _negative_cycle(self) -> str:
        cycle = negative_cycle(self.rules, self.offset or 0)
        if cycle is None:  # p :- p. p :- \\+ q. q :- q.
            return "ProbLog cannot ground a cycle below this negation inside another cycle: break one of them"
        return f"{cycle}: true only if it is false: break the cycle, or let an argument shrink in each round"

    def _indirect_cycle(self) -> str:
        cycle = indirect_cycle(self.rules, self.offset or 0) or self._shown()
        return f"{cycle}: needs all of its own answers to find them: break the cycle"

    def _occurs_check(self) -> str:
        return f"{self._shown()} makes a term that contains itself: use two different variables"

    def _evidence(self) -> ProgramError:
        found = re.fullmatch(r"(?:evidence\()?(?:\\\+)?(.*?)(?:,(?:true|false)\))?", str(self.error.source))
        remedy = "contradicts the clauses or other evidence: mend one of them"
        evidence = [s for s in self.source.statements() if s.functor == "evidence" and s.arity in (1, 2)]
        for statement in evidence:
            stated = statement.args[0].child if isinstance(statement.args[0], Not) else statement.args[0]
            if found and found[1] == str(stated):
                return self.source.error(statement, f"the evidence on {stated} {remedy}")
        return self.source.error(evidence[0] if evidence else None, f"the evidence {remedy}")

    def _access(self) -> str | ProgramError:
        for head, _ in self.rules:
            if f"'{head.signature}'" in self.reason:
                what = f"{name(key_of(head))} is built into ProbLog: give your predicate another name"
                return self.source.error(head, what)
        return f"{self.reason}: mend the program"

    def _other(self) -> ProgramError:
        """An error of no special kind; those about the form of a clause quote its head."""
        for head, _ in self.rules:
            if self.offset is None and f"'{head}'" in self.reason:
                return self.source.error(head, f"{self.reason}: mend this clause")
        return self.source.problog_error(self.error)


def _is_at(term: Term, offset: int | None) -> bool:
    """Whether a term's name or operator is the character of that number."""
    location = term.location
    own = location[1] if isinstance(location, tuple) else location
    return offset is not None and own == offset
