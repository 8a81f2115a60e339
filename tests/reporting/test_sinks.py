"""The metrics log as CSV and as TensorBoard's events, read back by other readers."""

import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logged_metrics import events, expected, log_of, table_of, without_nones

from nesy_gedi.reporting.run import RunFolder
from nesy_gedi.reporting.sinks import CommaSeparated, TensorBoard, sinks_for

numbers = st.floats(allow_nan=False, width=64)
lines = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2),
        "epoch": st.integers(1, 9),
        "terms": st.dictionaries(st.sampled_from(["gen", "inv", "prior", "nesy"]), numbers),
        "satisfied": st.none() | numbers,
        "renamed": st.booleans(),
        "rollbacks": st.lists(st.fixed_dictionaries({"step": st.integers(), "reason": st.text(max_size=9)})),
    }
)


@settings(max_examples=60, deadline=None)
@given(st.lists(lines, max_size=6), st.integers(0, 6), st.lists(lines, max_size=3))
def test_the_table_is_the_log_also_after_a_cut(
    before: list[dict[str, Any]], kept: int, after: list[dict[str, Any]]
) -> None:
    with TemporaryDirectory() as parent:
        path = Path(parent)
        for resumed, rows in ((False, before), (True, after)):
            folder = RunFolder(path, resumed)
            folder.sinks = [CommaSeparated(path)]
            if resumed:
                folder.keep_metrics(kept)
                assert not before or table_of(path) == [without_nones(row) for row in before[:kept]]
            for row in rows:
                folder.append_metrics(row)
                assert table_of(path) == [without_nones(row) for row in log_of(path)]


def test_values_as_they_are_in_the_log(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.sinks = [CommaSeparated(tmp_path)]
    folder.append_metrics({"epoch": 1, "terms": {"gen": 0.1}, "note": 'a "b", c', "extra": None})
    folder.append_metrics({"epoch": 2, "terms": {"nesy": float("nan")}})
    assert (tmp_path / "metrics.csv").read_text() == (
        'epoch,terms.gen,note,extra,terms.nesy\n1,0.1,"a ""b"", c",,\n2,,,,NaN\n'
    )


def row(seed: int, attempt: int, epoch: int, numbers: random.Random) -> dict[str, Any]:
    terms = {"gen": numbers.gauss(0, 1), **({"nesy": numbers.random()} if epoch > 1 else {})}
    return {
        "seed": seed, "attempt": attempt, "epoch": epoch, "terms": terms, "satisfied": None,
        "renamed": epoch == 2, "rollbacks": [{"step": 1}],
    }  # fmt: skip


def test_events_are_the_log_and_no_step_is_there_twice(tmp_path: Path) -> None:
    numbers = random.Random(0)
    written = [(0, 0, e) for e in (1, 2, 3)] + [(0, 1, e) for e in (1, 2)] + [(1, 0, e) for e in (1, 2, 3)]
    folder = RunFolder(tmp_path)
    folder.sinks = [TensorBoard(tmp_path)]
    for place in written:
        folder.append_metrics(row(*place, numbers))
        assert events(tmp_path) == expected(tmp_path)  # at once, also if the process were killed now
    # it ran away, and goes over two epochs again
    for epoch in (2, 3, 4):
        folder.append_metrics(row(1, 0, epoch, numbers))
        assert events(tmp_path) == expected(tmp_path) or epoch < 4
    folder.close()
    # the process was killed, and another goes on from where the state had been saved
    folder = RunFolder(tmp_path, resumed=True)
    folder.sinks = [TensorBoard(tmp_path)]
    folder.keep_metrics(6)
    for place in [(1, 0, e) for e in (2, 3, 4, 5)]:
        folder.append_metrics(row(*place, numbers))
    folder.close()
    assert events(tmp_path) == expected(tmp_path)
    assert [step for step, _ in events(tmp_path)["seed-1"]["terms/gen"]] == [1, 2, 3, 4, 5]
    assert set(events(tmp_path)) == {"seed-0", "seed-0-restart-1", "seed-1"}


@pytest.mark.parametrize("writes", [True, False])
def test_of_processes_that_train_together_the_first_writes(tmp_path: Path, writes: bool) -> None:
    folder = RunFolder(tmp_path, writes=writes)
    folder.sinks = sinks_for(tmp_path, comma_separated=True, tensorboard=True)
    folder.append_metrics(row(0, 0, 1, random.Random(0)))
    folder.keep_metrics(1)
    folder.close()
    written = {"metrics.jsonl", "metrics.csv", "tensorboard"} if writes else set()
    assert {path.name for path in tmp_path.iterdir()} == written
