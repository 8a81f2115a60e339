"""Types of the predicates of ProbLog and its libraries that pass images on, or that reckon."""

from nesy_gedi.logic.calls import Key
from nesy_gedi.logic.slot_types import Type, list_of

# e an element, l a list of such elements, m a list of such lists, n a number, s a list of numbers,
# g a goal, p a goal that lacks an element, q one that lacks an element and something else, . all else
_SIGNATURES: dict[Key, str] = {
    ("=", 2): "ee",
    ("member", 2): "el",
    ("memberchk", 2): "el",
    ("append", 2): "ml",
    ("append", 3): "lll",
    ("prefix", 2): "ll",
    ("reverse", 2): "ll",
    ("permutation", 2): "ll",
    ("select", 3): "ell",
    ("select", 4): "elel",
    ("selectchk", 3): "ell",
    ("selectchk", 4): "elel",
    ("nextto", 3): "eel",
    ("delete", 3): "lel",
    ("nth0", 3): "nle",
    ("nth1", 3): "nle",
    ("nth0", 4): "nlel",
    ("nth1", 4): "nlel",
    ("last", 2): "le",
    ("sort", 2): "ll",
    ("list_to_set", 2): "ll",
    ("intersection", 3): "lll",
    ("union", 3): "lll",
    ("subset", 2): "ll",
    ("subtract", 3): "lll",
    ("include", 3): "pll",
    ("exclude", 3): "pll",
    ("partition", 4): "plll",
    ("partition", 5): "qllll",
    ("length", 2): ".n",
    ("proper_length", 2): ".n",
    ("sum_list", 2): "sn",
    ("max_list", 2): "sn",
    ("min_list", 2): "sn",
    ("numlist", 3): "nns",
    ("between", 3): "nnn",
    ("succ", 2): "nn",
    ("plus", 3): "nnn",
    ("number", 1): "n",
    ("integer", 1): "n",
    ("float", 1): "n",
    **dict.fromkeys((("findall", 3), ("all", 3), ("all_or_none", 3)), "egl"),
    **dict.fromkeys(((",", 2), (";", 2), ("forall", 2)), "gg"),
    **dict.fromkeys((("\\+", 1), ("not", 1), ("once", 1), ("possible", 1)), "g"),
    **{("subquery", arity): "g" + "." * (arity - 1) for arity in (2, 3, 5)},
}
_ARITHMETIC = {(name, 2) for name in ("is", "<", ">", "=<", ">=", "=:=", "=\\=")}
_CALLS = {"call", "call_nc", "try_call"}
_MAPS = {"maplist": 0, "convlist": 0, "foldl": 2, "scanl": 2}  # how many arguments at the end are no lists
NAMES = {name for name, _ in _SIGNATURES} | _CALLS | {*_MAPS}


def is_arithmetic(key: Key) -> bool:
    """Whether it computes or compares the values of its arguments."""
    return key in _ARITHMETIC


def library_types(key: Key) -> tuple[Type, ...]:
    """Types of a library predicate's arguments, new ones each time; none if it links nothing."""
    name, arity = key
    if name in _CALLS and arity > 0:
        more = tuple(Type() for _ in range(arity - 1))
        return (_goal(*more), *more)
    if name in _MAPS and arity > _MAPS[name] + 1:
        return _map_types(name, arity - 1 - _MAPS[name])
    element, number = Type(), Type(symbol=True)
    several = list_of(element)
    kinds = {"e": element, "l": several, "m": list_of(several), "n": number, "s": list_of(number)}
    kinds |= {"p": _goal(element), "q": _goal(element, Type())}
    signature = _SIGNATURES.get(key, "")
    return tuple(_goal() if kind == "g" else kinds.get(kind) or Type() for kind in signature)


def _map_types(name: str, lists: int) -> tuple[Type, ...]:
    """maplist/N and its kin: a goal about one element of each list, and of what foldl/N carries along."""
    elements = [Type() for _ in range(lists)]
    carried = Type()
    ends = {"foldl": (carried, carried), "scanl": (carried, list_of(carried))}.get(name, ())
    goal = _goal(*elements, *[carried] * len(ends))
    return (goal, *map(list_of, elements), *ends)


def _goal(*missing: Type) -> Type:
    found = Type()
    found.calls.append(missing)
    return found
