"""The code blocks of a page of the documentation, and its commands run as a reader would."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
# what is trained is not the point here
SHORT = [
    "--epochs",
    "1",
    "--width",
    "4",
    "--set",
    "sampler.steps=1",
    "--set",
    "naming.restarts=0",
    "--no-report",
]
PYTHON = [sys.executable, "-c", "from nesy_gedi.cli import main; main()"]


def blocks(page: str, kind: str) -> list[str]:
    """The blocks that begin with ``kind`` after the fence."""
    return re.findall(rf"```{kind}\n(.*?)```", text(page), flags=re.DOTALL)


def text(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def files(page: str) -> dict[str, str]:
    """The files that a page shows, by the title of their blocks."""
    return dict(re.findall(r'```\w+ title="([^"]+)"\n(.*?)```', text(page), flags=re.DOTALL))


def commands(page: str) -> list[str]:
    return [line for block in blocks(page, "sh") for line in block.splitlines()]


def run(command: str, folder: Path) -> str:
    """What a command prints; trainings are shortened."""
    words = shlex.split(command)
    assert words[0] == "nesy-gedi"
    if words[1] == "train":
        words += SHORT
    done = subprocess.run([*PYTHON, *words[1:]], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def shows(page: str, output: str) -> bool:
    """Whether a page has an output as it is, as an indented block."""
    return "".join(f"    {line}\n" if line else "\n" for line in output.splitlines()) in text(page)
