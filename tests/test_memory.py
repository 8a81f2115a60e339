import subprocess
import sys

import pytest

from nesy_gedi.memory import keep_freed_memory

# page faults of writing a block of 64 MB ten times, each time freed before the next
FAULTS = """
import resource
from nesy_gedi.memory import keep_freed_memory
if {kept}:
    keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    block = bytearray(64 * 2**20)
    block[::4096] = b"x" * (len(block) // 4096)
    del block
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(kept: bool) -> int:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.format(kept=kept)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_freed_memory_is_used_again_without_page_faults() -> None:
    if not keep_freed_memory():
        pytest.skip("the C library has no mallopt")
    pages = 64 * 2**20 // 4096
    assert faults(kept=False) > 5 * pages
    assert faults(kept=True) < 2 * pages
