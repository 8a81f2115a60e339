"""A stranger's program: every way out is tried, with audit events and files as witnesses."""

import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import problog
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from problog import get_evaluatable
from problog.engine import DefaultEngine
from problog.engine_builtin import builtin
from problog.logic import Term
from problog.program import PrologString

from nesy_gedi.logic.sandbox import (
    LIBRARIES,
    RefusedError,
    builtins,
    imported,
    library_predicates,
    make_engine,
    refused,
    refused_import,
)

LIBRARY = Path(problog.__file__).parent / "library"
_WATCHED = ("open", "subprocess.Popen", "os.system", "os.posix_spawn", "sqlite3.connect", "socket.connect")
_events: list[str] | None = None


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if _events is not None and event in _WATCHED and not str(arguments[0]).startswith(str(LIBRARY)):
        _events.append(f"{event} {arguments[0]}")


sys.addaudithook(_audit)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with files that leave a mark or hold a secret, and that Python imports from."""
    mark = f"open({str(tmp_path / 'mark')!r}, 'w').close()\n"
    (tmp_path / "evil.py").write_text(mark)
    (tmp_path / "engine_stack.py").write_text(mark + "from problog.engine_stack import Context, get_state\n")
    (tmp_path / "lists.pl").write_text("secret(42).\n")
    (tmp_path / "secret.pl").write_text("secret(42).\n")
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    sqlite3.connect(tmp_path / "table.sqlite").close()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    list(
        _ground(DefaultEngine(), ":- use_module(library(lists)). q :- subquery(r, _). 0.3::r. query(q).")
    )  # what ProbLog imports when first used
    yield tmp_path
    sys.modules.pop("engine_stack", None)


def _ground(engine: DefaultEngine, text: str) -> dict[str, float]:
    formula = engine.ground_all(PrologString(text))
    return {str(k): v for k, v in get_evaluatable().create_from(formula).evaluate().items()}


def _watch(engine: DefaultEngine, text: str) -> tuple[type[BaseException] | None, list[str]]:
    """What grounding raised, and the audit events meanwhile outside of ProbLog's own library."""
    global _events
    raised = None
    program = PrologString(text)
    _events = []
    try:
        engine.ground_all(program)
    except BaseException as error:
        raised = type(error)
    events, _events = _events, None
    return raised, events


def _traversal(name: str) -> str:
    return f"library('{os.path.relpath(Path.cwd() / name, LIBRARY)}')"


# what a stranger may want: functor and arguments; {x} is made in the working directory
GOALS = {
    "consult": ("consult", "'secret.pl'"),
    "consult without suffix": ("consult", "secret"),
    "consult python": ("use_module", "'evil.py'"),
    "import without suffix": ("use_module", "evil"),
    "import a shadow": ("use_module", "lists"),
    "import with a list": ("use_module", "'evil.py'", "[]"),
    "out of the library": ("use_module", "{traversal}"),
    "absolute library": ("use_module", "library('{absolute}')"),
    "hidden consult": ("'_consult'", "none", "'secret.pl'"),
    "hidden import": ("'_use_module'", "none", "'evil.py'"),
    "hidden import with a list": ("'_use_module'", "none", "'evil.py'", "[]"),
    "list": ("'.'", "'secret.pl'", "[]"),
    "state": ("set_state", "x"),
    "another state": ("reset_state",),
    "checked state": ("check_state", "x"),
    "process": ("subquery", "chance", "_", "[chance]", '"prob"', '"ddnnf"'),
    "write": ("write", "x"),
    "writeln": ("writeln", "x", "y"),
    "nl": ("nl",),
    "debugprint": ("debugprint", "x"),
    "database": ("dbg_printdb",),
    "state on the screen": ("print_state",),
    "scope on the screen": ("create_scope", "'&'([1], [2])", "_"),
}
SILENT = {  # refused as well, but nobody outside sees what they do
    "command line": ("cmd_args", "_"),
    "debugger": ("trace",),
    "sqlite": ("use_module", "library(db)"),
    "records": ("use_module", "library(record)"),
    "assert": ("use_module", "library(assert)"),
    "semiring": ("use_module", "library(aproblog)"),
    "further files": ("use_module", "library(nlp4plp)"),
    "no such library": ("use_module", "library(nosuch)"),
    "scope": ("call_in_scope", "x", "chance"),
}
WAYS = {
    "goal": "a :- {goal}.",
    "directive": ":- {goal}.",
    "body of a probability": "0.5::a :- chance, {goal}.",
    "negation": "a :- \\+ {goal}.",
    "variable": "a :- X = {goal}, X.",
    "call/1": "a :- call({goal}).",
    "call/N": "a :- call({call}).",
    "once": "a :- once({goal}).",
    "call_nc": "a :- call_nc({call}).",
    "try_call": "a :- try_call({call}).",
    "univ": "a :- X =.. {list}, call(X).",
    "findall": "a :- findall(x, {goal}, L).",
    "all": "a :- all(x, {goal}, L).",
    "forall": "a :- forall({goal}, true).",
    "possible": "a :- possible({goal}).",
    "subquery": "a :- subquery({goal}, _).",
    "argument": "do(X) :- X. a :- do({goal}).",
    "fact": "thing({goal}). a :- thing(X), call(X).",
    "clause": "b :- {goal}. a :- clause(b, X), call(X).",
    "query": "a. query({goal}).",
    "evidence": "a. evidence({goal}).",
}
LIBRARY_WAYS = {
    "scope": ":- use_module(library(scope)). a :- s:{goal}.",
    "on_fail": ":- use_module(library(control)). a :- on_fail(fail, {goal}).",
    "maplist": ":- use_module(library(apply)). a :- maplist({functor}, [{argument}]).",
    "include": ":- use_module(library(apply)). a :- include({functor}, [{argument}], _).",
    "directive with maplist": ":- use_module(library(apply)). :- maplist({functor}, [{argument}]).",
}


def _fill(way: str, goal: tuple[str, ...]) -> str:
    functor, *arguments = [
        part.format(traversal=_traversal("evil.py"), absolute=Path.cwd() / "evil.py")
        if part.startswith(("{", "library('{"))
        else part
        for part in goal
    ]
    text = way.format(
        goal=f"{functor}({', '.join(arguments)})" if arguments else functor,
        call=", ".join([functor, *arguments]),
        list=f"[{', '.join([functor, *arguments])}]",
        functor=functor,
        argument=arguments[0] if arguments else "",
    )
    return f"{text}\n0.3::chance.\nquery(a).\n"


ALL_GOALS = {**GOALS, **SILENT}


@pytest.mark.parametrize("goal", ALL_GOALS)
def test_no_way_leads_out(here: Path, goal: str, capfd: pytest.CaptureFixture[str]) -> None:
    _try_all(here, WAYS, ALL_GOALS[goal], capfd)


@pytest.mark.parametrize(
    "goal", ["consult", "consult python", "absolute library", "sqlite", "state", "write"]
)
def test_no_library_leads_out(here: Path, goal: str, capfd: pytest.CaptureFixture[str]) -> None:
    _try_all(here, LIBRARY_WAYS, ALL_GOALS[goal], capfd)


def _try_all(
    here: Path, ways: dict[str, str], goal: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    for name, way in ways.items():
        text = _fill(way, goal)
        assert _watch(make_engine(), text) == (RefusedError, []), f"{name}: {text}"
        assert not (here / "mark").exists(), name
        assert capfd.readouterr() == ("", ""), name


@pytest.mark.parametrize("goal", GOALS)
def test_those_ways_are_open_in_plain_problog(
    here: Path, goal: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Else the test above would prove nothing."""
    capfd.readouterr()
    _, events = _watch(make_engine(trusted=True), _fill(WAYS["goal"], GOALS[goal]))
    out, err = capfd.readouterr()
    assert events or out or err or (here / "mark").exists()


_WRAPPERS = (
    "call({})",
    "once({})",
    "call_nc({})",
    "try_call({})",
    "findall(x, {}, L)",
    "all_or_none(x, {}, L)",
    "forall({}, fail)",
    "possible({})",
    "call(\\+ {})",
    "subquery({}, _)",
    "call(call, {})",
    "maplist(call, [{}])",
    "foldl(run, [{}], 1, _)",
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    goal=st.sampled_from(sorted(ALL_GOALS)),
    wrappers=st.lists(st.sampled_from(_WRAPPERS), max_size=4),
    directive=st.booleans(),
)
def test_no_nesting_of_ways_leads_out(here: Path, goal: str, wrappers: list[str], directive: bool) -> None:
    way = "{goal}"
    for wrapper in wrappers:
        way = wrapper.format(way)
    head = ":- use_module(library(apply)).\nrun(G, _, _) :- G.\n" + (":- " if directive else "a :- ")
    assert _watch(make_engine(), _fill(head + way + ".", ALL_GOALS[goal])) == (RefusedError, [])


@pytest.mark.parametrize(
    ("text", "column", "predicate", "words"),
    [
        ("a :- b, consult(x). b.", 9, ("consult", 1), ["consult/1 reads files", "--trust-program"]),
        ("a :- X = consult(x), b, X. b.", 10, ("consult", 1), ["consult/1 reads files"]),
        (":- use_module(foo).", 4, ("use_module", 1), ["use_module(foo) reads files"]),
        ("a :- write(x).", 6, ("write", 1), ["write/1 prints"]),
        (":- use_module(library(apply)). a :- maplist(write, [x]).", 45, ("write", 1), ["write/1 prints"]),
        ("a :- findall(X, cmd_args(X), L).", 17, ("cmd_args", 1), ["command line"]),
        (":- use_module(library(db)).", 4, ("use_module", 1), ["library(db) reads files and databases"]),
        (":- [secret].", 5, (".", 2), ["reads files"]),
    ],
)
def test_a_refusal_knows_its_place(
    text: str, column: int, predicate: tuple[str, int], words: list[str]
) -> None:
    with pytest.raises(RefusedError) as error:
        make_engine().ground_all(PrologString(text + " query(a)."))
    assert error.value.location == (None, 1, column)
    assert error.value.predicate == predicate
    assert all(word in error.value.base_message for word in words)


def test_a_builtin_that_problog_may_get_later_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    later = [*builtin.registry, ("bool", "phone_home", 0, lambda **context: called.append(1) or True)]
    monkeypatch.setattr(builtin, "registry", later)
    program = PrologString("a :- phone_home. query(a).")
    with pytest.raises(RefusedError, match="phone_home/0 is not known to be harmless"):
        make_engine().ground_all(program)
    assert called == []
    make_engine(trusted=True).ground_all(program)
    assert called == [1]


def test_try_call_still_hides_other_errors() -> None:
    text = "a :- try_call(nosuch(1)). b :- try_call(c). c. query(a). query(b)."
    assert _ground(make_engine(), text) == _ground(DefaultEngine(), text) == {"a": 0.0, "b": 1.0}


def test_trusted_programs_do_what_problog_does(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = ":- consult('secret.pl'). a(X) :- secret(X), writeln(hello). query(a(_))."
    assert _ground(make_engine(trusted=True), text) == {"a(42)": 1.0}
    assert capsys.readouterr().out == "hello\n"


WORKING = [
    ":- use_module(library(lists)). a(X, Y) :- append(X, Y, [1, 2]). query(a(_, _)).",
    ":- use_module(library(lists)). a(S) :- sum_list([1, 2, 3], S). query(a(_)).",
    ":- use_module(library(lists)). a :- memberchk(2, [1, 2]). query(a).",
    ":- use_module(library(lists)). a(X) :- list_to_set([b, a, b], X). query(a(_)).",
    ":- use_module(library(lists)). a(X) :- select_uniform(k, [u, v], X, _). query(a(_)).",
    ":- use_module(library(lists)). 0.3::p(1). 0.6::p(2). a(L) :- findall(X, p(X), L). query(a(_)).",
    ":- use_module(library(lists), [nth0/3 as at]). a(X) :- at(1, [u, v], X). query(a(_)).",
    ":- use_module(library(lists), except([member/2])). a(X) :- last([u, v], X). query(a(_)).",
    ":- use_module(library(apply)). 0.4::q(1, 2). q(2, 3). a(L) :- maplist(q, [1, 2], L). query(a(_)).",
    ":- use_module(library(apply)). s(X, Y, Z) :- Z is X + Y. a(S) :- foldl(s, [1, 2], 0, S). query(a(_)).",
    ":- use_module(library(apply)). 0.4::q(1). q(2). a(L) :- include(q, [1, 2], L). query(a(_)).",
    ":- use_module(library(string)). a(X) :- concat([x, y], X). query(a(_)).",
    ":- use_module(library(string)). a(X) :- str2lst(xy, X). query(a(_)).",
    ":- use_module(library(aggregate)). d(1, 2). d(1, 3). a(X, sum<Y>) :- d(X, Y). query(a(_, _)).",
    ":- use_module(library(collect)). b(1). b(2). a(L) :- b(X) => list(X, L). query(a(_)).",
    ":- use_module(library(control)). r(1, u). 0.3::r(2, v). a(X) :- cut(r(X), [2, 1]). query(a(_)).",
    ":- use_module(library(cut)). 0.3::r(1, u). r(2, v). a(X) :- cut(r(X)). query(a(_)).",
    ":- use_module(library(scope)). 0.2::s:b. a :- s:b. query(a).",
    ":- use_module(library('lists.py')). a :- memberchk_ground(1, [1]). query(a).",
    "0.3::p(1). 0.6::p(2). q(1). a :- forall(p(X), q(X)). query(a).",
    "0.3::p. a(X) :- subquery(p, X). query(a(_)).",
    "0.3::p(1). 0.6::p(2). a(L) :- all(X, p(X), L). query(a(_)). evidence(p(1)).",
    "0.3::p. a :- G = p, call(G), \\+ fail, between(1, 2, 2). query(a).",
    "a(L) :- findall(X, (use_module(library(lists)), member(X, [1, 2])), L). query(a(_)).",
    "d :- a(1), length([1, 2 | T], 2), T = []. a(1). query(d).",
]


@pytest.mark.parametrize("text", WORKING)
def test_allowed_libraries_and_builtins_work_as_in_problog(text: str) -> None:
    expected = _ground(DefaultEngine(), text)
    assert expected
    assert any(value > 0 for value in expected.values())
    assert _ground(make_engine(), text) == pytest.approx(expected)


def test_length_of_a_longer_list_fails_where_problog_breaks() -> None:
    text = "a :- b, length([1, 2 | _], 1). b. query(a)."
    assert _ground(make_engine(), text) == {"a": 0.0}


def test_the_directory_does_not_shadow_a_library(here: Path) -> None:
    text = ":- use_module(library(lists)). a :- member(1, [1]). query(a)."
    assert _ground(make_engine(), text) == {"a": 1.0}


@pytest.mark.parametrize("library", [*LIBRARIES, "lists.py", "string.py"])
def test_library_predicates_are_those_that_plain_problog_finds(library: str) -> None:
    everything = {key for name in LIBRARIES for key in library_predicates(name)}
    everything |= library_predicates("lists.py") | library_predicates("string.py")
    everything |= {("zip", 3), ("head", 2), ("make_list", 3), ("sw", 6)}  # library(lists) hides these
    database = DefaultEngine().prepare(PrologString(f":- use_module(library('{library}'))."))
    found = set()
    for functor, arity in everything - {("forall", 2)}:
        node = database.find(Term(functor, *[None] * arity))
        if node is not None and database.get_node(node):
            found.add((functor, arity))
    assert library_predicates(library) - {("forall", 2)} == found


def test_every_builtin_is_either_allowed_or_refused() -> None:
    names = DefaultEngine().get_builtins()
    keys = {(n.rsplit("/", 1)[0], int(n.rsplit("/", 1)[1])) for n in names if n[0] != "_"}
    allowed = builtins() - {("forall", 2)}
    assert allowed == {key for key in keys if refused(key) is None}
    assert {("is", 2), ("findall", 3), ("call", 4), ("use_module", 1)} <= allowed
    assert refused(("member", 2)) is None
    assert refused(("consult", 7)) is None  # there is no such builtin


@pytest.mark.parametrize(
    ("goal", "expected"),
    [
        ("use_module(library(cut))", {("cut", 1), ("cut", 2)}),
        ("use_module(library(lists), [member/2, nth0/3 as at])", {("member", 2), ("at", 3)}),
        ("use_module(library(cut), except([cut/2]))", {("cut", 1)}),
        ("use_module(library(db))", set()),
        ("use_module(library(lists), nonsense)", set()),
        ("consult(x)", set()),
    ],
)
def test_imports(goal: str, expected: set[tuple[str, int]]) -> None:
    (clause,) = PrologString(f":- {goal}.")
    assert imported(clause.body) == expected


def test_what_may_be_imported() -> None:
    text = ":- use_module(library(lists)). :- use_module(library(X)). :- p(x)."
    allowed, variable, other = (refused_import(clause.body) for clause in PrologString(text))
    assert allowed is None
    assert other is None
    assert variable is not None
    assert "use_module(library(X)) reads files" in variable


def test_engines_do_not_share_refusals(capsys: pytest.CaptureFixture[str]) -> None:
    program = PrologString("a :- writeln(x). query(a).")
    for _ in range(2):
        with pytest.raises(RefusedError):
            make_engine().ground_all(program)
        assert capsys.readouterr().out == ""
        make_engine(trusted=True).ground_all(program)
        assert capsys.readouterr().out == "x\n"
