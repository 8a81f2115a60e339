"""The folder of a run: whole files, complete lines, never another run's."""

import json
import re
import subprocess
import sys
import threading
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nesy_gedi.errors import UserError
from nesy_gedi.reporting.run import CONFIG, METRICS, RunFolder, environment, free_folder

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return RunFolder(tmp_path_factory.mktemp("runs") / "deep" / "run")


@settings(deadline=None)
@given(content=st.dictionaries(st.text(), json_values, max_size=4))
def test_json_and_metrics_come_back_as_written(shared_folder: RunFolder, content: dict[str, object]) -> None:
    shared_folder.write_json("any.json", content)
    assert json.loads((shared_folder.path / "any.json").read_text(encoding="utf-8")) == content
    shared_folder.append_metrics(content)
    *_, last, end = (shared_folder.path / METRICS).read_text(encoding="utf-8").split("\n")
    assert json.loads(last) == content
    assert end == ""


def test_metrics_are_one_line_each_in_order(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    for epoch in range(5):
        folder.append_metrics({"epoch": epoch, "note": "two\nlines"})
    lines = (tmp_path / "run" / METRICS).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(5))


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    sizes = {0, 50_000}
    folder.write_json("big.json", {"rows": []})
    finished = threading.Event()

    def write() -> None:
        for turn in range(40):
            folder.write_json("big.json", {"rows": [turn] * (50_000 if turn % 2 else 0)})
        finished.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not finished.is_set():
        seen.add(len(json.loads((folder.path / "big.json").read_text(encoding="utf-8"))["rows"]))
    writer.join()
    assert seen <= sizes


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.write_json("result.json", {"accuracy": 0.5})
    with pytest.raises(TypeError):
        folder.write_json("result.json", {"accuracy": object()})
    assert json.loads((folder.path / "result.json").read_text(encoding="utf-8")) == {"accuracy": 0.5}


def test_a_folder_that_holds_a_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    RunFolder(tmp_path).write_json(CONFIG, {"mine": 1})
    with pytest.raises(UserError, match=rf"{re.escape(str(tmp_path))} already holds a run; .*--out"):
        RunFolder(tmp_path)
    assert json.loads((tmp_path / CONFIG).read_text(encoding="utf-8")) == {"mine": 1}
    assert [path.name for path in tmp_path.iterdir()] == [CONFIG]


@pytest.mark.parametrize("below", ["", "run", "a/b"])
def test_a_file_in_the_way_is_named(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(
        UserError, match=r"cannot write the run to .*file.* \((File exists|Not a directory)\); .*--out"
    ):
        RunFolder(tmp_path / "file" / below)
    assert (tmp_path / "file").read_text() == "precious"


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(1, 8)))
def test_the_first_free_number_is_taken(taken: set[int]) -> None:
    with TemporaryDirectory() as parent:
        for number in taken:
            (Path(parent) / (f"run-{number}" if number > 1 else "run")).mkdir()
        found = free_folder(Path(parent), "run")
        first = min(set(range(1, 10)) - taken)
        assert found == Path(parent) / (f"run-{first}" if first > 1 else "run")


def test_the_environment_is_told() -> None:
    told = environment()
    json.dumps(told)
    for name in ("torch", "problog", "deepproblog", "pysdd", "klaycircuits", "nesy-gedi"):
        assert told["packages"][name] == version(name)
    assert told["threads"] == torch.get_num_threads()
    assert told["commit"] is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", told["commit"])
    assert told["processor"].strip()


# a limit on the size of files stands in for a full disk: the write itself fails, half way
FULL = """
import resource, sys
from pathlib import Path
from nesy_gedi.errors import UserError
from nesy_gedi.reporting.run import RunFolder, or_resume
folder = RunFolder(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    folder.begin({"long": "x" * 1000})
except UserError as error:
    print(error)
try:
    with or_resume(folder.path):
        for epoch in range(100):
            folder.append_metrics({"epoch": epoch})
except UserError as error:
    print(error)
"""


def test_a_full_disk_leaves_nothing_half_written_and_says_what_to_do(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    begun, later = done.stdout.splitlines()
    folder = tmp_path / "run"
    assert begun == f"cannot write the run to {folder} (File too large); choose another folder with --out"
    assert later.startswith(f"{folder} cannot be written (File too large): make room, and `nesy-gedi train ")
    assert [path.name for path in folder.iterdir()] == [METRICS]
