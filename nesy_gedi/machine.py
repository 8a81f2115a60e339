"""The machine as this process finds it; imports nothing large."""

import os
import platform
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")


def processor() -> str:
    """Its name, as the system has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def core_quota(root: Path = _ROOT) -> float | None:
    """Cores' worth of time that control groups, as of a container, allow this process; None for no limit.

    Args:
        root: of the file system that holds ``proc`` and ``sys``.
    """
    found = []
    for folder in _groups(root, "cpu"):
        numbers = _words(folder / "cpu.max") or (
            _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")
        )
        if len(numbers) == 2 and numbers[0] not in ("max", "-1"):
            found.append(int(numbers[0]) / int(numbers[1]))
    return min(found, default=None)


def memory(root: Path = _ROOT) -> tuple[int | None, int | None]:
    """Memory that this process may have, and what is available of the machine's, bytes; None if not known.

    Args:
        root: as for :func:`core_quota`.
    """
    try:
        lines = (root / "proc" / "meminfo").read_text(encoding="utf-8").splitlines()
        table = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        total, available = table["MemTotal"], table.get("MemAvailable")
    except (OSError, LookupError, ValueError):
        return _physical_memory(), None
    for folder in _groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            total = min([total, *(int(word) for word in _words(folder / name) if word != "max")])
    return total, available if available is None else min(total, available)


def _physical_memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows
        return None


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of this process's control group and of all around it, version 2 or 1.

    In a container the path may be the host's; what is mounted at the root is then the container's own.
    """
    try:
        lines = (root / "proc" / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    mounted = root / "sys" / "fs" / "cgroup"
    for line in lines:
        number, controllers, place = line.split(":", 2)
        if number == "0":
            top = mounted
        elif controller in controllers.split(","):
            top = mounted / controller
        else:
            continue
        path = Path(place.lstrip("/"))
        yield from (top / part for part in dict.fromkeys((path, *path.parents)))


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except OSError:
        return []
