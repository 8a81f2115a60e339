"""docs/programs.md: its program, and every command in it, run in an empty folder as a reader would."""

import subprocess

import page_commands
from page_commands import DOCS, PYTHON, run, shows

PAGE = "programs.md"


def test_every_command_runs_as_typed(tmp_path):
    page = page_commands.text(PAGE)
    for name, program in page_commands.files(PAGE).items():
        (tmp_path / name).write_text(program)
    commands = page_commands.commands(PAGE)
    assert {command.split()[1] for command in commands} == {"program", "train", "query"}
    printed = {command: run(command, tmp_path) for command in commands}
    # what does not depend on time or training is printed in the page as it comes
    for command, output in printed.items():
        if command.split()[2] in ("check", "audit"):
            assert shows(PAGE, output), command
        if command.split()[2] == "sample" and "--out" not in command:
            assert all(f"    {line}\n" in page for line in output.splitlines())
    show = printed["nesy-gedi program show maximum.pl"].splitlines()
    assert all(f"    {line}\n" in page for line in show if "seconds" not in line and "  time" not in line)


def test_the_mistake_in_the_page_is_told_as_it_says(tmp_path):
    program = page_commands.files(PAGE)["maximum.pl"]
    (tmp_path / "maximum.pl").write_text(program.replace("Z) :- digit(X", "Z) :- digt(X"))
    done = subprocess.run(
        [*PYTHON, "program", "check", "maximum.pl"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout.strip() in page_commands.text(PAGE)


def test_shipped_programs_are_all_in_the_table():
    page = page_commands.text(PAGE)
    shipped = [path.stem for path in (DOCS.parent / "programs").glob("*.pl")]
    assert len(shipped) >= 14
    assert [name for name in shipped if f"| `{name}` |" not in page] == []
