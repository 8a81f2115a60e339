import os
import tempfile
from pathlib import Path

import pytest


def pytest_configure(config):
    """Keep compiled circuits away from the user's own: also when a module compiles on import."""
    folder = tempfile.TemporaryDirectory(prefix="nesy-gedi-tests-")
    os.environ["NESY_GEDI_CACHE"] = folder.name
    config.add_cleanup(folder.cleanup)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory, without data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NESY_GEDI_DATA", raising=False)


@pytest.fixture
def run(elsewhere: None) -> Path:
    """An untrained run of 12 clusters on a few digits."""
    from untrained_runs import save_run, write_digits

    return save_run("run", write_digits("few.npz"), classes=12)
