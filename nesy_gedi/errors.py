"""The one exception that means "the user can mend this"."""

import math
from collections.abc import Iterable, Mapping
from difflib import get_close_matches


class UserError(ValueError):
    """Bad input; the message says in one line what was asked, what was found and what to do.

    The command line prints it without a traceback and exits with code 2.
    """


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Error for a name that is not in a table, with its nearest match.

    Returns the exception, for the caller to raise.
    """
    choices = list(known)
    near = get_close_matches(name, choices, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return UserError(f"unknown {kind} {name!r}: {hint}(choose from {', '.join(choices)})")


def check_ranges(settings: object, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Check that attributes of ``settings`` lie in closed intervals ``(low, high)``.

    Raises:
        UserError: one does not; the message names it.
    """
    for name, (low, high) in ranges.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            choice = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
            raise UserError(f"{name}={value} is out of range: choose {choice}")
