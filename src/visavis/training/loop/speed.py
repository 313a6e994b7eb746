"""How much a network computes, and how much of what the device can do that is."""

from __future__ import annotations

import copy
import functools
import time
from typing import Final

import torch
from torch.utils.flop_counter import FlopCounterMode

from visavis.embedding.torch import FaceNetwork

_PRODUCTS: Final = 5


def training_flops(network: FaceNetwork) -> int:
    """Floating point operations of one image's way forward and back.

    Counted by PyTorch's ``FlopCounterMode`` (a multiplication and an addition are two) on a copy
    without data: nothing is computed.
    """
    size = network.spec.input_size
    ghost = copy.deepcopy(network).to("meta").train()
    images = torch.zeros(2, 3, size, size, device="meta")  # two: batch normalization wants more
    with FlopCounterMode(display=False) as counter:
        ghost.raw(images).sum().backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops()) // len(images)


@functools.cache
def measured_peak(device: torch.device, dtype: torch.dtype, threads: int) -> float:
    """Operations a second of a large square matrix product: what one can hope for.

    Args:
        device: where.
        dtype: float32 or bfloat16.
        threads: of the CPU; a key only, the caller has set them.
    """
    side = 1024 if device.type == "cpu" else 8192
    a = torch.ones(side, side, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(_PRODUCTS):
        wait(device)
        begun = time.perf_counter()
        torch.mm(a, a)
        wait(device)
        best = min(best, time.perf_counter() - begun)
    return 2 * side**3 / best


def device_name(device: torch.device) -> str:
    """What the device calls itself."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
