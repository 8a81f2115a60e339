"""Progress: terms beside their optima, pace, time left; lines when nobody watches."""

import io
import math
import re

import pytest
from rich.console import Console

from nesy_gedi.gedi.trainer import EpochMetrics
from nesy_gedi.reporting.progress import Progress

OPTIMA = {"gen": None, "prior": math.log(10), "nesy": 0.0}
TERMS = {"gen": -1.2345, "prior": 2.4004, "nesy": 0.8}


def metrics(epoch: int = 1, seconds: float = 10.0, **others: object) -> EpochMetrics:
    return EpochMetrics(epoch, dict(TERMS), 1234.5, seconds, **others)  # type: ignore[arg-type]


def lines_of(epochs: int, *updates: EpochMetrics) -> list[str]:
    file = io.StringIO()
    progress = Progress(Console(file=file, width=80), epochs, OPTIMA)
    with progress:
        for update in updates:
            progress.update("seed 3", update)
    return file.getvalue().splitlines()


def test_a_line_holds_terms_optima_pace_and_title() -> None:
    (line,) = lines_of(30, metrics(satisfied=0.5, largest_cluster=0.2, renamed=True))
    assert line.startswith("seed 3  epoch 1/30  gen -1.234  prior 2.400 (2.303)  nesy 0.800 (0.000)  ")
    assert "50.0% of the examples satisfied, clusters renamed" in line
    assert re.search(r"1,23[45] images/s", line)
    assert "\x1b" not in line


def test_what_was_not_counted_is_not_shown() -> None:
    (line,) = lines_of(30, metrics())
    assert "satisfied" not in line
    assert "renamed" not in line
    (line,) = lines_of(30, metrics(satisfied=0.0, largest_cluster=1.0))
    assert "0.0% of the examples satisfied" in line
    assert "renamed" not in line


def test_long_lines_are_not_wrapped() -> None:
    found = lines_of(30, *(metrics(epoch, satisfied=0.5) for epoch in range(1, 6)))
    assert len(found) == 5
    assert all(len(line) > 80 for line in found)


def test_time_left_is_the_mean_epoch_times_the_epochs_to_come() -> None:
    first, second, last = lines_of(3, metrics(1, 10.0), metrics(2, 20.0), metrics(3, 30.0))
    assert first.endswith("  0:20 left")
    assert second.endswith("  0:15 left")
    assert last.endswith("  0:00 left")
    assert lines_of(100, metrics(1, 10.0))[0].endswith("  16:30 left")


def test_time_left_starts_anew_with_every_training() -> None:
    *_, again = lines_of(2, metrics(1, 100.0), metrics(2, 100.0), metrics(1, 5.0))
    assert again.endswith("  0:05 left")


@pytest.mark.parametrize(("seconds", "shown"), [(59.7, "1:00"), (119.6, "2:00")])
def test_no_minute_has_sixty_seconds(seconds: float, shown: str) -> None:
    assert lines_of(2, metrics(1, seconds))[0].endswith(f"  {shown} left")


def test_on_a_terminal_a_table_shows_terms_beside_optima(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    file = io.StringIO()
    progress = Progress(Console(file=file, force_terminal=True, width=100), 30, OPTIMA)
    with progress:
        progress.update("seed 3", metrics(7, 2.0, satisfied=0.5, largest_cluster=0.2, renamed=True))
        shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue())
    assert re.search(r"seed 3\s+epoch 7/30\s+1,23[45]\s+images/s", shown)
    for term, value, optimum in (
        ("gen", "-1.234", ""),
        ("prior", "2.400", "2.303"),
        ("nesy", "0.800", "0.000"),
    ):
        assert re.search(rf"{term} +│ +{value} +│ +{optimum}", shown), shown
    assert "50.0% of the examples satisfied, clusters renamed" in " ".join(shown.split())


def test_on_a_terminal_that_cannot_move_its_cursor_there_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    file = io.StringIO()
    with Progress(Console(file=file, force_terminal=True, width=200), 30, OPTIMA) as progress:
        progress.update("seed 3", metrics())
    assert "prior 2.400 (2.303)" in file.getvalue()


def test_the_display_is_closed_when_training_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    file = io.StringIO()
    progress = Progress(Console(file=file, force_terminal=True, width=100), 30, OPTIMA)

    def interrupted() -> None:
        with progress:
            progress.update("seed 3", metrics())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert file.getvalue().rindex("\x1b[?25h") > file.getvalue().rindex("\x1b[?25l")  # the cursor is back
