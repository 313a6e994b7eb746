"""Freed memory stays with a training process. In a process of its own: it is for good."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
from visavis.training.loop.hardware import keep_memory

def faults():
    # Steps that use several blocks of 36 to 60 MB at once, as activations are.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        blocks = [b"x" * (n * 1_000_000) for n in (36, 60, 44)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
untouched = faults()
assert keep_memory()
faults()
kept = faults()
assert keep_memory(False)
faults()
print(untouched, kept, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_large_blocks_are_used_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True
    )
    untouched, kept, given_back = map(int, done.stdout.split())
    assert kept < untouched / 20
    assert given_back > untouched / 2
