"""``nesy-gedi runs compare`` against numpy, and ``delete``, which takes what is ours and nothing else."""

import json
import os
import pty
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typed_commands import SCRIPT, change, environment, read_json, run

from nesy_gedi.comparing import MEASURES
from nesy_gedi.run_lock import training

Copy = Callable[..., Path]


def compared(*runs: Path) -> dict[str, Any]:
    done = run("runs", "compare", *map(str, runs), "--json")
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    content = json.loads(done.stdout)
    assert isinstance(content, dict)
    return content


def with_seeds(folder: Path, rows: dict[int, dict[str, float]]) -> Path:
    """Other figures in place of a run's own."""
    (like, *_) = read_json(folder / "result.json")["seeds"]  # type: ignore[misc]
    change(
        folder / "result.json", "seeds", value=[{**like, "seed": seed, **row} for seed, row in rows.items()]
    )
    return folder


def test_differences_are_of_the_same_seeds(copied: Copy) -> None:
    random = np.random.default_rng(0)
    one, two = (
        {seed: dict(zip(MEASURES, random.random(len(MEASURES)), strict=True)) for seed in seeds}
        for seeds in (range(5), range(2, 9))
    )
    figures = {"a": one, "b": two, "c": {9: one[0]}}
    found = compared(*(with_seeds(copied(name), rows) for name, rows in figures.items()))
    assert found["runs"] == ["a", "b", "c"]
    for measure in MEASURES:
        for rows, spread in zip((one, two), found["figures"][measure][:2], strict=True):
            values = [row[measure] for row in rows.values()]
            assert spread["mean"] == pytest.approx(np.mean(values))
            assert spread["deviation"] == pytest.approx(np.std(values, ddof=1))
            assert spread["seeds"] == len(values)
        pairs = [two[seed][measure] - one[seed][measure] for seed in (2, 3, 4)]
        paired, none = found["differences"][measure]
        assert paired["mean"] == pytest.approx(np.mean(pairs))
        assert paired["deviation"] == pytest.approx(np.std(pairs, ddof=1))
        assert paired["seeds"] == 3
        assert none is None
        assert found["figures"][measure][2] == {"mean": one[0][measure], "deviation": None, "seeds": 1}
    shown = run("runs", "compare", "a", "b", "c").stdout
    spread = found["differences"]["nmi"][0]
    assert f"{spread['mean']:+.3f} ± {spread['deviation']:.3f} (3)" in shown


def test_settings_that_differ_and_no_others(copied: Copy) -> None:
    one, two = copied("a"), copied("b")
    assert compared(one, two)["settings"] == {}
    assert "all settings are the same" in run("runs", "compare", "a", "b").stdout
    change(two / "config.json", "config", "network", "width", value=64)
    change(two / "config.json", "config", "method", "weights", "nesy", value=1.5)
    change(two / "config.json", "environment", "packages", "torch", value="9.9")
    change(two / "config.json", "command", value=["nesy-gedi", "other"])
    change(two / "config.json", "program", value="\n".join(["p(X)."] * 30))
    change(two / "config.json", "config", "new", value={"inner": 3})
    found = compared(one, two)["settings"]
    config = read_json(one / "config.json")
    assert found == {
        "config.network.width": [4, 64],
        "config.method.weights.nesy": [config["config"]["method"]["weights"]["nesy"], 1.5],  # type: ignore[index]
        "environment.packages.torch": [config["environment"]["packages"]["torch"], "9.9"],  # type: ignore[index]
        "program": [config["program"], "\n".join(["p(X)."] * 30)],
        "config.new.inner": [None, 3],
    }
    lines = run("runs", "compare", "a", "b").stdout.splitlines()
    assert [line.split() for line in lines if "network.width" in line] == [
        ["config.network.width", "4", "64"]
    ]
    assert sum("p(X). p(X)." in line for line in lines) == 1  # on one line, cut


def test_accuracy_is_compared_only_of_clusters_with_names(copied: Copy) -> None:
    one, two = copied("a"), copied("b")
    change(two / "config.json", "program", value=None)
    figures = compared(one, two)["figures"]
    assert [spread is None for spread in figures["accuracy"]] == [False, True]
    assert None not in figures["nmi"]
    assert run("runs", "compare", "a").exit_code == 2


def deleted(*arguments: str) -> str:
    done = run("runs", "delete", *arguments, "--yes")
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    return done.stdout


def kept(*arguments: str) -> str:
    """The line that a refusal gets; nothing may be gone."""
    before = sorted(Path().rglob("*"))
    done = run("runs", "delete", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert sorted(Path().rglob("*")) == before
    (line,) = done.stderr.splitlines()
    return line


def test_a_run_goes_with_all_that_was_written_into_it(copied: Copy) -> None:
    folder = copied()
    assert run("sample", str(folder), "--count", "2", "--steps", "1").exit_code == 0
    assert run("evaluate", str(folder), "--measures", "knn").exit_code == 0
    copied("runs/one/seed-0")
    for name in ("state.pt", "state.previous.pt", "lock", "result.json.123.partial", "metrics.csv"):
        (folder / name).touch()
    (folder / "tensorboard" / "seed-0").mkdir(parents=True)
    (folder / "tensorboard" / "seed-0" / "events.out.tfevents.1.host").touch()
    assert (folder / "samples" / "samples.npz").exists()
    copied("runs/two")
    assert deleted("runs/one") == "deleted: runs/one\n"
    assert [path.name for path in Path("runs").iterdir()] == ["two"]


def test_what_is_not_ours_stays_and_is_named(copied: Copy) -> None:
    folder = copied()
    for name in ("notes.txt", "cat.png", "samples/mine.npz", "tensorboard/notes"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("precious")
    told = deleted("runs/one")
    left = sorted(path for path in folder.rglob("*"))
    assert told == f"deleted: runs/one, but for {', '.join(map(str, left))}\n"
    assert {str(path.relative_to(folder)) for path in left if path.is_file()} == {
        *("notes.txt", "cat.png", "samples/mine.npz", "tensorboard/notes")
    }
    assert "config.json" in kept("runs/one", "--yes")


def test_links_are_not_followed(copied: Copy) -> None:
    folder, other = copied(), copied("elsewhere/other")
    (other / "samples.npz").touch()
    (folder / "samples").symlink_to(other.absolute())
    (folder / "seed-3").symlink_to(other.absolute())
    (folder / "terms.png").unlink()
    (folder / "terms.png").symlink_to((other / "terms.png").absolute())
    Path("link").symlink_to(folder)
    before = {path.name: path.read_bytes() for path in other.iterdir()}
    assert "link is a link: name the folder that it leads to" in kept("link", "--yes")
    assert deleted("runs/one").startswith("deleted: runs/one, but for runs/one/samples")
    assert {path.name: path.read_bytes() for path in other.iterdir()} == before
    assert not (folder / "terms.png").is_symlink()


def test_all_are_looked_at_before_the_first_is_deleted(copied: Copy) -> None:
    one, two, three = copied("runs/one"), copied("runs/two"), copied("runs/three")
    Path("photos").mkdir()
    Path("photos/cat.png").touch()
    assert "photos/config.json cannot be read" in kept("runs/one", "photos", "--yes")
    shutil.copy(two / "weights.safetensors", "photos")
    Path("photos/config.json").write_text('{"name": "of something else"}')
    assert "was not written by nesy-gedi" in kept("runs/one", "photos", "--yes")
    with training(two):
        assert "runs/two is being trained by another process" in kept("runs/one", "runs/two", "--yes")
    copied("runs/three/seed-0")
    with training(three / "seed-0"):
        assert "runs/three/seed-0 is being trained" in kept("runs/three", "--yes")
    assert deleted("runs/one", "runs/two", "runs/one") == "deleted: runs/one\ndeleted: runs/two\n"
    assert not one.exists()


def test_it_asks_on_a_terminal_and_refuses_where_nobody_can_answer(copied: Copy) -> None:
    folder = copied()
    assert "give --yes to delete without a question" in kept("runs/one")
    for answer, there in ((b"n\n", True), (b"\n", True), (b"y\n", False)):
        ours, theirs = pty.openpty()
        os.write(ours, answer)
        command = [SCRIPT, "runs", "delete", "runs/one"]
        done = subprocess.run(
            command, env=environment(), stdin=theirs, capture_output=True, text=True, check=True
        )
        os.close(theirs)
        os.close(ours)
        assert "delete runs/one? [y/N]" in done.stderr + done.stdout
        assert folder.exists() == there
        assert ("deleted: runs/one" in done.stdout) == (not there)
