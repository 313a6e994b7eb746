"""Losses compute in full precision, whatever the network ran in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def full_precision(raw: Tensor) -> Iterator[Tensor]:
    """Embeddings as float32 (float64 stays), with autocast off inside the block."""
    with torch.autocast(raw.device.type, enabled=False):
        yield raw if raw.dtype == torch.float64 else raw.float()
