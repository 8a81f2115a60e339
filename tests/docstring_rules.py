"""What the docstring of a public name must say, as far as a machine can tell."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

Function = ast.FunctionDef | ast.AsyncFunctionDef

SHAPE = re.compile(r"\((?:[^()\s,]+,(?:\s[^()]+)?|)\)|\bscalar\b|\b(?:same|any) shape\b")
"""``(batch, classes)``, ``(n,)``, ``(*shape, 2)``, ``()``; or in words."""
UNITS = {"energy": "nats", "entropy": "nats", "timeout": "seconds"}
"""Words in a function's or parameter's name, and the unit that its docstring must name."""
COMMAND = re.compile(r"\b(?:command|group)\(")
PROGRAMMING_ERRORS = {"AssertionError", "NotImplementedError", "StopIteration"}


class Index(NamedTuple):
    """What names of the whole package mean.

    Attributes:
        bases: class to its bases.
        returns: function to the annotation of what it returns.
    """

    bases: Mapping[str, list[str]]
    returns: Mapping[str, str]


def index_of(trees: Iterator[ast.Module]) -> Index:
    """The classes and functions of parsed modules."""
    index = Index({}, {})
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                index.bases[node.name] = [ast.unparse(base) for base in node.bases]
            elif isinstance(node, Function) and node.returns:
                index.returns[node.name] = ast.unparse(node.returns)
    return index


def violations(text: str, where: str, index: Index | None = None) -> list[str]:
    """What a module's docstrings leave out, with file and line.

    Args:
        text: of the module.
        where: its name, for the messages.
        index: of the package; None for this module alone.
    """
    tree = ast.parse(text)
    index = index or index_of(iter([tree]))
    found = [] if ast.get_docstring(tree) else [(1, "the module has no docstring")]
    for node, owner in _public(tree):
        found += [(node.lineno, f"{node.name}: {what}") for what in _of_node(node, owner, index)]
    return [f"{where}:{line}: {what}" for line, what in found]


def _public(
    scope: ast.Module | ast.ClassDef,
) -> Iterator[tuple[ast.ClassDef | Function, ast.ClassDef | None]]:
    """Public classes and functions, each with its class if it has one; also ``__init__`` and its like."""
    owner = scope if isinstance(scope, ast.ClassDef) else None
    for node in scope.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node, owner
            yield from _public(node)
        elif isinstance(node, Function) and (not node.name.startswith("_") or node.name.endswith("__")):
            decorators = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
            if not decorators & {"overload", "setter"}:
                yield node, owner


def _of_node(node: ast.ClassDef | Function, owner: ast.ClassDef | None, index: Index) -> Iterator[str]:
    special = node.name.endswith("__")
    own = ast.get_docstring(node) or ""
    if not own and not special:
        yield "no docstring"
        return
    around = (ast.get_docstring(owner) or "") if owner else ""
    if isinstance(node, ast.ClassDef):
        yield from _entries(own, "Attributes", None)
        return
    if any(COMMAND.search(ast.unparse(decorator)) for decorator in node.decorator_list):
        return  # the docstring is what --help prints
    told = f"{around}\n{own}"
    variadic = [a for a in (node.args.vararg, node.args.kwarg) if a]
    parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, *variadic]
    names = [parameter.arg for parameter in parameters]
    yield from _entries(own, "Args", names)
    documented = _section(told if special else own, "Raises")
    for error in _raised(node, index):
        if not any(re.search(rf"\b{name}\b", documented) for name in (error, *_ancestors(error, index))):
            yield f"raises {error}, which `Raises:` does not name"
    annotations = [*(parameter.annotation for parameter in parameters), node.returns]
    if any(re.search(r"\bTensor\b", ast.unparse(a)) for a in annotations if a) and not SHAPE.search(told):
        yield "has a Tensor, and no shape such as (batch, classes) or scalar"
    for word, unit in UNITS.items():
        if any(word in name.split("_") for name in (node.name, *names)) and unit not in told:
            yield f"has {word} in a name, and its docstring no {unit}"


def _section(docstring: str, name: str) -> str:
    """The indented lines below ``Name:``, of every such section."""
    return "\n".join(re.findall(rf"^ *{name}:\n((?: +\S.*\n?|\n)*)", docstring, flags=re.MULTILINE))


def _entries(docstring: str, section: str, names: Sequence[str] | None) -> Iterator[str]:
    """What is wrong with ``Args:`` or ``Attributes:`` if it is there; ``names`` are what it must have."""
    lines = _section(docstring, section).splitlines()
    indent = min((len(line) - len(line.lstrip()) for line in lines if line), default=0)
    entries = [
        found[1].lstrip("*") for line in lines if (found := re.match(rf" {{{indent}}}(\S[^:]*):", line))
    ]
    for entry in entries:
        if not entry.isidentifier():
            yield f"`{section}:` has the entry {entry!r}: one name each"
        elif names is not None and entry not in names:
            yield f"`{section}:` names {entry}, which is no parameter"
    for name in names or ():
        if entries and name not in entries and name not in ("self", "cls"):
            yield f"`{section}:` leaves out {name}"


def _raised(function: Function, index: Index) -> list[str]:
    """Exceptions that a function's own body raises anew, by name."""
    found = []
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, Function | ast.Lambda | ast.ClassDef):
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Raise) and node.exc:
            made = isinstance(node.exc, ast.Call)
            name = ast.unparse(node.exc.func if made else node.exc).rpartition(".")[2]
            name = index.returns.get(name, name) if made else name
            if re.fullmatch(r"[A-Z]\w*", name) and name not in PROGRAMMING_ERRORS:
                found.append(name)
    return sorted(set(found))


def _ancestors(name: str, index: Index) -> list[str]:
    return [a for base in index.bases.get(name, []) for a in (base, *_ancestors(base, index))]
