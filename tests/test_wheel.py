"""What ``pip install .`` puts on another machine."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
READ = "from nesy_gedi.resources import resource as r; p = r({!r}, {!r}); print(p); print(p.read_text())"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the backend's PEP 517 hook, as pip does."""
    backend = pytest.importorskip(
        "hatchling.build", reason="hatchling, which builds the wheel, is not installed"
    )
    folder = tmp_path_factory.mktemp("wheel")
    before = os.getcwd()
    os.chdir(ROOT)
    try:
        return folder / backend.build_wheel(str(folder))
    finally:
        os.chdir(before)


def test_programs_and_presets_travel_and_tests_do_not(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for folder in ("programs", "experiments"):
        shipped = {path.name for path in (ROOT / folder).iterdir() if path.suffix in (".pl", ".toml")}
        assert shipped <= {Path(name).name for name in names if name.startswith(f"nesy_gedi/{folder}/")}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "nesy_gedi").rglob("*.py")}
    assert modules <= set(names)
    top = {name.split("/")[0] for name in names}
    assert top == {"nesy_gedi", f"nesy_gedi-{wheel.name.split('-')[1]}.dist-info"}
    assert not [name for name in names if "test" in name]


def test_console_script_is_declared(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (entry,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
    assert "nesy-gedi = nesy_gedi.cli:main" in archive.read(entry).decode()


@pytest.mark.parametrize(("folder", "name"), [("programs", "addition.pl"), ("experiments", "addition.toml")])
def test_unpacked_elsewhere_it_finds_its_files(wheel: Path, tmp_path: Path, folder: str, name: str) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    printed = subprocess.run(
        [sys.executable, "-c", READ.format(folder, name)],
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    place, text = printed.split("\n", 1)
    assert Path(place) == tmp_path / "nesy_gedi" / folder / name
    assert text.strip() == (ROOT / folder / name).read_text(encoding="utf-8").strip()
