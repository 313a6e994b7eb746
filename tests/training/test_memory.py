"""Freed memory stays with a training process. In processes of their own: it is for good."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from visavis.training.memory import keep_memory

if sys.argv[1] == "keep":
    assert keep_memory()

def faults():
    # Steps that use several blocks of 40 to 120 MB at once, as activations are.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        blocks = [torch.ones(n * 1_000_000) for n in (10, 30, 20, 25, 15)]
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
    assert page_faults("keep") < page_faults("give back") / 20
