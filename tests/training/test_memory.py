"""Freed memory stays with a training process. In processes of their own: it is for good."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from visavis.training.loop.hardware import keep_memory

if sys.argv[1] != "as it is":
    assert keep_memory()
if sys.argv[1] == "give back":
    assert keep_memory(False)

def faults():
    # Steps that use several blocks of 36 to 60 MB at once, as activations are.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        blocks = [b"x" * (n * 1_000_000) for n in (36, 60, 44)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


def page_faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_large_blocks_are_used_again() -> None:
    untouched = page_faults("as it is")
    assert page_faults("keep") < untouched / 20
    assert page_faults("give back") > untouched / 2
