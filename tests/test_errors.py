"""Errors a user can mend: one line, with the nearest match."""

from difflib import SequenceMatcher

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nesy_gedi.errors import UserError, unknown

NAMES = ("circuit", "klay", "deepproblog")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("circiut", "circuit"), ("kly", "klay"), ("deepprolog", "deepproblog"), ("circuits", "circuit")],
)
def test_a_slip_of_the_finger_is_mended(typed: str, meant: str) -> None:
    error = unknown("engine", typed, NAMES)
    assert str(error) == (
        f"unknown engine {typed!r}: did you mean {meant!r}? (choose from circuit, klay, deepproblog)"
    )


def test_nothing_is_suggested_where_nothing_is_near() -> None:
    assert str(unknown("engine", "xyz", NAMES)) == (
        "unknown engine 'xyz': (choose from circuit, klay, deepproblog)"
    )


def test_it_is_returned_for_the_caller_to_raise() -> None:
    error = unknown("engine", "x", iter(NAMES))
    assert isinstance(error, UserError)
    assert isinstance(error, ValueError)


@given(st.text(max_size=20), st.lists(st.text("abcdef", min_size=1, max_size=6), min_size=1, unique=True))
def test_always_one_line_that_names_every_choice_and_the_nearest(typed: str, known: list[str]) -> None:
    message = str(unknown("key", typed, known))
    assert len(message.splitlines()) == 1
    assert message.endswith(f"(choose from {', '.join(known)})")
    nearest = max(SequenceMatcher(None, name, typed).ratio() for name in known)
    if "did you mean" in message:
        suggested = message.split("did you mean '")[1].split("'? (choose")[0]
        assert SequenceMatcher(None, suggested, typed).ratio() == nearest
    else:
        assert nearest < 0.4
