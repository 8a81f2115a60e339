"""``nesy-gedi doctor``: what is installed and what the machine can do, and what is wrong with either."""

import os
import platform
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from nesy_gedi.machine import core_quota, memory, processor
from nesy_gedi.processes import cores

PACKAGE = "nesy-gedi"
RUNS = Path("runs")
_FEATURES = ("avx2", "avx512_f", "avx512_bf16", "amx_tile", "amx_bf16")
_DEVELOPERS = "dev"  # an extra that users do not want
_ENOUGH = 10**9  # bytes free


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        stops: whether something that nesy-gedi does cannot be done with it.
        text: what it is and how to mend it, in one sentence.
    """

    stops: bool
    text: str


@dataclass
class Diagnosis:
    """All that was looked at; what a broken installation does not let itself be asked is None or empty.

    Attributes:
        packages: version of each package that is required; None if it is not there.
        extras: the same for each optional extra.
        features: instructions of the processor that decide about speed.
        cores: how many this process may use.
        core_quota: cores' worth of time that control groups allow; None for no limit.
        threads: of PyTorch.
        memory: bytes; what is available of it follows.
        data: a row for each data set: its name, ``state`` (found, missing or damaged) and what that means.
        disks: a row for each folder that is written to, with the bytes free on its disk.
        findings: what is wrong.
    """

    system: str = field(default_factory=platform.platform)
    python: str = field(default_factory=platform.python_version)
    version: str = field(default_factory=lambda: metadata.version(PACKAGE))
    packages: dict[str, str | None] = field(default_factory=dict)
    extras: dict[str, dict[str, str | None]] = field(default_factory=dict)
    processor: str = field(default_factory=processor)
    features: list[str] = field(default_factory=list)
    cores: int = field(default_factory=cores)
    core_quota: float | None = field(default_factory=core_quota)
    threads: int | None = None
    memory: int | None = None
    memory_available: int | None = None
    device: str | None = None
    precision: str | None = None
    data: list[dict[str, Any]] = field(default_factory=list)
    disks: list[dict[str, Any]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def stops(self) -> bool:
        """Whether something cannot be done."""
        return any(finding.stops for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {**asdict(self), "stops": self.stops}


def examine(data_dir: str | None) -> Diagnosis:
    """Look at everything. Data sets that are there are read, which shows damage, but not hashed.

    Args:
        data_dir: the option ``--data-dir``, if it was given.
    """
    found = Diagnosis()
    found.memory, found.memory_available = memory()
    found.findings += _packages(found)
    broken = [] if found.packages.get("torch") is None else list(_broken())
    found.findings += broken
    if not broken and None not in found.packages.values():
        found.findings += _computing(found)
        found.findings += _data(found, data_dir)
    found.findings += _disk(found, RUNS, stops=True, why="runs are written there")
    found.findings.sort(key=lambda finding: finding.stops)  # what matters most is read last
    return found


def _packages(found: Diagnosis) -> Iterator[Finding]:
    """What pyproject.toml asks for, as the installed package's metadata have it."""
    extras = metadata.metadata(PACKAGE).get_all("Provides-Extra") or []
    found.extras = {extra: {} for extra in extras if extra != _DEVELOPERS}
    for requirement in map(Requirement, metadata.requires(PACKAGE) or ()):
        needed = _applies(requirement, "")
        if needed:
            tables = [found.packages]
        else:
            tables = [table for extra, table in found.extras.items() if _applies(requirement, extra)]
        installed = _installed(requirement.name)
        for table in tables:
            table[requirement.name] = installed
        if installed is not None and requirement.specifier.contains(installed, prereleases=True):
            continue
        if needed or (tables and installed is not None):
            asked = f"{requirement.name}{requirement.specifier}"
            there = f"{requirement.name} is {installed or 'not installed'}"
            yield Finding(needed, f"{there}, {asked} is needed: pip install {shlex.quote(asked)}")


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _broken() -> Iterator[Finding]:
    """The two packages that are most often installed in parts that do not fit."""
    for name in ("torch", "torchvision"):
        try:
            import_module(name)
        except (ImportError, OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            mend = "pip install --force-reinstall torch torchvision"
            yield Finding(True, f"{name} is installed but cannot be imported ({reason}): {mend}")
            return


def _computing(found: Diagnosis) -> Iterator[Finding]:
    """Device, precision and threads, as a training would choose them."""
    import torch

    from nesy_gedi.gedi.precision import choose_device, choose_precision

    found.device = choose_device("auto")
    found.precision = choose_precision("auto", found.device)
    found.threads = torch.get_num_threads()
    abilities = torch.cpu.get_capabilities()
    found.features = [name for name in _FEATURES if abilities.get(name)]
    physical = int(abilities.get("num_physical_cores") or found.cores)
    yield from _speed(found, min(found.cores, physical))


def _speed(found: Diagnosis, most: int) -> Iterator[Finding]:
    """What makes trainings slower than they could be; ``most`` threads are of use."""
    assert found.threads is not None
    limit = os.environ.get("OMP_NUM_THREADS")
    if found.core_quota is not None and found.threads > max(1.0, found.core_quota):
        whole = max(1, int(found.core_quota))
        yield Finding(
            False,
            f"PyTorch has {found.threads} threads, but control groups allow the time of {found.core_quota:g} "
            f"cores, so that threads wait for each other: set OMP_NUM_THREADS={whole}",
        )
    elif limit and found.threads < min(most, found.core_quota or most):
        told = f"OMP_NUM_THREADS={limit} leaves PyTorch {found.threads} of {most} cores"
        yield Finding(False, f"{told}: unset it, unless several trainings run at a time")
    if found.precision != "bf16":
        yield Finding(
            False,
            f"networks compute in {found.precision}, because bf16 is not multiplied in hardware here, and a "
            "training takes about twice as long: a processor with AMX or AVX512-BF16, or a recent GPU, helps",
        )


def _data(found: Diagnosis, data_dir: str | None) -> Iterator[Finding]:
    from nesy_gedi.data.download import NotFetchedError, fetch_command
    from nesy_gedi.data.mnist import resolve_data_dir
    from nesy_gedi.data.sets import DATA_SETS
    from nesy_gedi.errors import UserError

    directory, named = resolve_data_dir(data_dir)
    for name, chosen in DATA_SETS.items():
        row: dict[str, Any] = {"name": name}
        try:
            images = chosen.load(directory, named)
            counts = {"train": len(images.train_images), "test": len(images.test_images)}
            row |= {"state": "found", "source": images.source, **counts}
        except NotFetchedError:
            command = fetch_command(name, directory).strip("`")
            row |= {"state": "missing", "fetch": command, "download_mb": chosen.download_mb}
        except UserError as error:
            row |= {"state": "damaged", "reason": str(error)}
            yield Finding(True, f"the data set {name} is damaged: {error}")
        found.data.append(row)
    if any(row["state"] == "missing" for row in found.data):
        yield from _disk(found, directory, stops=False, why="data sets are fetched into it")


def _disk(found: Diagnosis, folder: Path, stops: bool, why: str) -> Iterator[Finding]:
    """Whether there is room, and whether a file can be written: by writing one, which leaves nothing."""
    place = folder.absolute()
    while not os.path.lexists(place):
        place = place.parent
    try:
        free = shutil.disk_usage(place).free
        found.disks.append({"folder": str(folder), "free": free})
        if free < _ENOUGH:
            yield Finding(False, f"{free / 1e9:.2f} GB are free in {folder}, {why}: make room")
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        yield Finding(
            stops, f"{place} cannot be written ({error.strerror}), {why}: mend it, or work in another folder"
        )
