"""docs/programs.md: its program, and every command in it, run in an empty folder as a reader would."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "programs.md"
SHORT = ["--epochs", "1", "--width", "4", "--set", "sampler.steps=1"]  # what is trained is not the point here


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def run(command: str, folder: Path) -> str:
    words = shlex.split(command)
    assert words[0] == "nesy-gedi"
    if words[1] == "train":
        words += SHORT
    python = [sys.executable, "-c", "from nesy_gedi.cli import main; main()"]
    done = subprocess.run([*python, *words[1:]], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_command_runs_as_typed(tmp_path):
    page = PAGE.read_text(encoding="utf-8")
    (program,) = blocks(r'prolog title="maximum\.pl"')
    (tmp_path / "maximum.pl").write_text(program)
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert {command.split()[1] for command in commands} == {"program", "train", "query"}
    printed = {command: run(command, tmp_path) for command in commands}
    # what does not depend on time or training is printed in the page as it comes
    for command, output in printed.items():
        if command.split()[2] in ("check", "audit"):
            shown = "".join(f"    {line}\n" if line else "\n" for line in output.splitlines())
            assert shown in page, command
        if command.split()[2] == "sample" and "--out" not in command:
            assert all(f"    {line}\n" in page for line in output.splitlines())
    show = printed["nesy-gedi program show maximum.pl"].splitlines()
    assert all(f"    {line}\n" in page for line in show if "seconds" not in line and "  time" not in line)


def test_the_mistake_in_the_page_is_told_as_it_says(tmp_path):
    (program,) = blocks(r'prolog title="maximum\.pl"')
    (tmp_path / "maximum.pl").write_text(program.replace("Z) :- digit(X", "Z) :- digt(X"))
    python = [sys.executable, "-c", "from nesy_gedi.cli import main; main()"]
    done = subprocess.run(
        [*python, "program", "check", "maximum.pl"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout.strip() in PAGE.read_text(encoding="utf-8")


def test_shipped_programs_are_all_in_the_table():
    page = PAGE.read_text(encoding="utf-8")
    shipped = [path.stem for path in (PAGE.parents[1] / "programs").glob("*.pl")]
    assert len(shipped) >= 14
    assert [name for name in shipped if f"| `{name}` |" not in page] == []
