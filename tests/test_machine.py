"""What the machine is, against other sources; control groups from files as the kernel writes them."""

import os
import subprocess
from pathlib import Path

import pytest

from nesy_gedi.machine import core_quota, memory, processor

MEMINFO = "MemTotal:       24683588 kB\nMemFree:  1 kB\nMemAvailable:   20000000 kB\n"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in {"proc/meminfo": MEMINFO, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        (
            {  # the narrowest of the groups around it counts
                "proc/self/cgroup": "0::/a/b/c\n",
                "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "300000 100000\n",
                "sys/fs/cgroup/a/b/c/cpu.max": "max 100000\n",
            },
            2.0,
        ),
        (
            {  # in a container: the host's path, the container's mount
                "proc/self/cgroup": "5:cpu,cpuacct:/docker/0123\n4:memory:/docker/0123\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            0.5,
        ),
        (
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
    ],
)
def test_core_quota(tmp_path: Path, files: dict[str, str], cores: float | None) -> None:
    assert core_quota(tree(tmp_path, files)) == cores


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, (24683588 * 1024, 20000000 * 1024)),
        (
            {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"},
            (24683588 * 1024, 20000000 * 1024),
        ),
        ({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "1073741824\n"}, (2**30, 2**30)),
        (
            {
                "proc/self/cgroup": "4:memory:/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "22000000000\n",
            },
            (22_000_000_000, 20000000 * 1024),
        ),
        (
            {"proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2**63}\n"},
            (24683588 * 1024, 20000000 * 1024),
        ),
    ],
)
def test_memory(tmp_path: Path, files: dict[str, str], expected: tuple[int, int]) -> None:
    assert memory(tree(tmp_path, files)) == expected


def test_of_this_machine() -> None:
    total, available = memory()
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert total is not None
    assert 0 < total <= physical
    assert available is None or 0 < available <= total
    if Path("/proc/cpuinfo").exists():
        told = subprocess.run(["cat", "/proc/cpuinfo"], capture_output=True, text=True, check=True).stdout
        assert f": {processor()}\n" in told or "model name" not in told
