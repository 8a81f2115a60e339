"""A real run, trained once for the tests of ``nesy-gedi runs`` and copied; what a test changes is its own."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typed_commands import TINY, run


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seeds 0 and 1 of a tiny training with the addition."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("original") / "run"
    done = run(*TINY, "--seeds", "2", "--out", str(folder))
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def copied(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts copies of the run into the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NESY_GEDI_DATA", raising=False)

    def copy(path: str = "runs/one") -> Path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copytree(original, path))

    return copy
