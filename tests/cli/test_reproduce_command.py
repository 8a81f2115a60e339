"""``nesy-gedi reproduce`` as a user types it."""

import json
from pathlib import Path

import pytest
from typed_commands import read_json, refused, run

pytestmark = pytest.mark.usefixtures("elsewhere")
TINY = (
    *("--seeds", "1", "--epochs", "1", "--examples", "400", "--methods", "gedi", "--datasets", "circles"),
    *(
        "--set",
        "network.width=8",
        "--set",
        "sampler.buffer_size=400",
        "--set",
        "naming.restarts=0",
        "--no-report",
    ),
)


def test_a_table_is_shown_written_and_not_made_twice() -> None:
    first = run("reproduce", "table2", *TINY, "--csv")
    assert first.exit_code == 0, (first.output, first.exception)
    assert "| circles | gedi | 1 |" in first.stdout
    written = [line.split(": ")[1] for line in first.stdout.splitlines() if line.startswith("written: ")]
    assert [Path(name).name for name in written] == ["table2.md", "table2.csv", "table2.json"]
    assert all(Path(name).is_file() for name in written)
    second = run("reproduce", "table2", *TINY)
    assert "already there: runs/reproduce/cpu/circles-gedi-seed0" in second.stdout
    assert "epoch" not in second.stdout
    assert Path("runs/reproduce/cpu/circles-gedi-seed0/metrics.csv").is_file()
    third = run("reproduce", "table2", *TINY, "--json")
    (line,) = third.stdout.splitlines()
    assert json.loads(line) == {**read_json(Path(written[2])), "written": written}
    assert "already there: runs/reproduce/cpu/circles-gedi-seed0" in third.stderr


def test_targets_are_listed() -> None:
    for arguments in (("--list",), ()):
        lines = run("reproduce", *arguments).stdout.splitlines()
        assert [line.split()[0] for line in lines[:3]] == ["table1", "table2", "table3"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("tabel2",), "unknown target 'tabel2': did you mean 'table2'"),
        (("table2", "--methods", "gdei"), "unknown method 'gdei'"),
        (("table2", "--datasets", "moosn"), "unknown data set 'moosn'"),
        (("table2", "--preset", "cup"), "unknown preset 'cup'"),
        (("table2", "--set", "sampler.stps=1"), "did you mean 'sampler.steps'"),
        (("table5", "--inception-weights", "none.pth"), "no Inception weights at none.pth"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(arguments: tuple[str, ...], part: str, tmp_path: Path) -> None:
    assert part in refused("reproduce", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_steps_of_samples_are_the_data_s_own_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("nesy_gedi.paper.reproduce_target", lambda *arguments: asked.append(arguments[6]))
    for steps in ((), ("--sampler-steps", "7")):
        assert run("reproduce", "figure5", *steps).exit_code == 0
    assert [options.sampler_steps for options in asked] == [None, 7]
    assert "figure5" in run("reproduce", "--help").stdout.split("--sampler-steps")[1].split("--inception")[0]
