"""``nesy-gedi program`` as a user types it: exit codes, and what goes to which stream."""

import json
from pathlib import Path
from typing import Any

import pytest
from typed_commands import read_json, refused, run

GOOD = "nn(net, [X], Y, [0,1,2]) :: digit(X, Y).\nless(X, Y) :- digit(X, A), digit(Y, B), A < B.\n"


@pytest.fixture(autouse=True)
def _away_from_any_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NESY_GEDI_DATA", raising=False)
    Path("good.pl").write_text(GOOD)


def test_check_tells_mistakes_from_doubts_by_its_exit_code() -> None:
    fine = run("program", "check", "good.pl")
    assert (fine.exit_code, fine.stderr) == (0, "")
    assert fine.stdout == "good.pl: the query less(X,Y) is fine, images X, Y\n"
    Path("doubt.pl").write_text(GOOD + "query(less(X, Y)).\nextra(1).\n")
    doubt = run("program", "check", "doubt.pl")
    assert doubt.exit_code == 0
    assert [line.split(": ")[:2] for line in doubt.stdout.splitlines()] == [
        ["doubt.pl:4:1", "warning"],
        ["doubt.pl", "the query less(X,Y) is fine, images X, Y"],
    ]
    Path("bad.pl").write_text(GOOD.replace("A < B.", "A < B, digt(X, A)."))
    bad = run("program", "check", "bad.pl")
    assert bad.exit_code == 1
    (line,) = bad.stdout.splitlines()
    assert line.startswith("bad.pl:2:")
    assert ": error: unknown predicate digt/2" in line


def test_show_and_the_choice_of_the_query() -> None:
    Path("two.pl").write_text(GOOD + "add(X, Y, Z) :- digit(X, A), digit(Y, B), Z is A + B.\n")
    shown = run("program", "show", "two.pl", "--query", "add(A, B, S)")
    assert shown.exit_code == 0, shown.output
    assert "  query      add(A,B,S)" in shown.stdout
    assert "  symbols    S: 5 answers: 0, 1, 2, 3, 4" in shown.stdout
    assert "two.pl" in refused("program", "show", "two.pl")


def test_audit() -> None:
    result = run("program", "audit", "good.pl", "--support", "0 1; 0 2", "--list", "1")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    # 0 as 0, and 1 and 2 as either of 1 and 2; or 0 as 1, and both as 2
    assert lines[1] == "5 readings of the symbols satisfy all of them"
    assert lines[3] == "  … and 4 more"
    assert "reading 1, '0'" in refused("program", "audit", "good.pl", "--support", "0")
    assert "--list" in refused("program", "audit", "good.pl", "--list", "-1")


def test_what_sample_writes_can_be_trained_on() -> None:
    result = run("program", "sample", "good.pl", "--examples", "3", "--out", "drawn", "--seed", "5")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "drawn: 6 images and examples.csv"
    own = ("--program", "good.pl", "--examples-csv", "drawn/examples.csv", "--images", "drawn")
    few = ("--width", "4", "--epochs", "1", "--set", "sampler.steps=1", "--set", "sampler.count=2")
    trained = run("train", *own, *few, "--method", "nesy", "--precision", "fp32", "--out", "run")
    assert trained.exit_code == 0, trained.output
    assert read_json(Path("run/config.json"))["query"] == "less(X,Y)"
    assert "drawn is not empty" in refused("program", "sample", "good.pl", "--out", "drawn")


def test_a_file_that_is_not_there() -> None:
    for command in ("check", "show", "audit", "sample"):
        assert "there is no program nowhere.pl" in refused("program", command, "nowhere.pl")


def told(*arguments: str) -> dict[str, Any]:
    """The JSON that a command prints, on one line."""
    (line,) = run("program", *arguments, "--json").stdout.splitlines()
    content = json.loads(line)
    assert isinstance(content, dict)
    return content


def test_check_as_json_says_what_its_lines_say() -> None:
    Path("bad.pl").write_text(GOOD.replace("A < B.", "A < B, digt(X, A)."))
    Path("doubt.pl").write_text(GOOD + "query(less(X, Y)).\nextra(1).\n")
    for name in ("good.pl", "bad.pl", "doubt.pl"):
        found = told("check", name)
        lines = [
            f"{found['program']}:{row['line']}:{row['column']}: {kind}: {row['message']}"
            for kind in ("error", "warning")
            for row in found[f"{kind}s"]
        ]
        plain = run("program", "check", name)
        assert plain.stdout.splitlines()[: len(lines)] == lines
        assert len(lines) == (name != "good.pl")
        assert run("program", "check", name, "--json").exit_code == plain.exit_code == (name == "bad.pl")


def test_show_as_json() -> None:
    found = told("show", "good.pl")
    assert found["networks"] == {"net": {"reads": [["X"], ["Y"]], "classes": ["0", "1", "2"]}}
    assert (found["satisfying"], found["worlds"]) == (3, 9)  # of the pairs of three digits
    found = told("show", "labelled_addition.pl")
    assert found["answers"] == [str(total) for total in range(19)]
    assert (found["satisfying"], found["worlds"]) == (100, 100)
    plain = run("program", "show", "labelled_addition.pl").stdout
    assert f"{found['nodes']:,} sums and products, {found['edges']:,} edges" in plain


def test_audit_as_json() -> None:
    found = told("audit", "good.pl", "--support", "0 1; 0 2", "--list", "9")
    maps = [{"0": i, "1": j, "2": k} for i in range(3) for j in range(3) for k in range(3) if i < j and i < k]
    assert found["count"] == len(maps) == 5
    read = [{k: int(j) for k, j in row["net"].items()} for row in found["readings"]]
    assert sorted(map(str, read)) == sorted(map(str, maps))
    assert found["balanced"] == sum(len(set(reading.values())) == 3 for reading in maps)
    assert found["identifiable"] is None
    assert found["labels"] in ([["net", "1"]], [["net", "2"]])
    assert told("audit", "good.pl")["identifiable"] == "nesy"
    unseen = told("audit", "good.pl", "--support", "0 1")
    assert unseen["unseen"] == [["net", "2"]]
    assert all(row["net"]["2"] is None for row in unseen["readings"])
