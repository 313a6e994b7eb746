"""Seeds as functions of the run's seed, purpose and step."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive(seed: int, purpose: str, *places: int) -> int:
    """A seed for one purpose at one place of a run.

    Args:
        seed: the run's.
        purpose: a word; two purposes never share random numbers.
        places: epoch, step, process: whatever tells places apart.

    Returns:
        A number in [0, 2**63).

    >>> derive(0, "weights") == derive(0, "weights"), derive(0, "step", 1) == derive(0, "step", 2)
    (True, False)
    """
    entropy = [seed, zlib.crc32(purpose.encode()), *places]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextmanager
def seeded(seed: int, *, device: torch.device | None = None) -> Iterator[None]:
    """Within, PyTorch's global generators start from ``seed``; after, they are as before."""
    cuda = device is not None and device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if cuda else []):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
