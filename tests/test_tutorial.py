"""docs/tutorial.md: every command in it, run in an empty folder as a reader would."""

import json
import shutil
import subprocess

import page_commands
import pytest
from page_commands import DOCS, run, shows

PAGE = "tutorial.md"


def test_every_command_runs_as_typed_and_prints_what_the_page_shows(tmp_path):
    for name, content in page_commands.files(PAGE).items():
        (tmp_path / name).write_text(content)
    commands = page_commands.commands(PAGE)
    assert [command.split()[1] for command in commands].count("train") >= 2
    for command in commands:
        output = run(command, tmp_path)
        if command.split()[1] == "program":  # depends neither on time nor on training
            assert shows(PAGE, output), command
        if command.split()[1] == "query":
            share, answer = output.splitlines()[0].split()[:2]
            assert 0 <= float(share) <= 1
            assert int(answer) in range(-9, 10)
    config = json.loads((tmp_path / "runs" / "duel" / "config.json").read_text())
    assert (config["request"]["examples"], config["request"]["seeds"]) == (300, 1)
    assert (tmp_path / "runs" / "own" / "weights.safetensors").is_file()


def test_the_commands_for_a_bare_machine_are_there():
    """They are not run again: they made what runs this."""
    lines = page_commands.text(PAGE).splitlines()
    assert "    make install" in lines
    assert "    . .venv/bin/activate" in lines
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", "install"], cwd=DOCS.parent, capture_output=True
    )
    assert done.returncode == 0
    assert b"-m venv .venv" in done.stdout
