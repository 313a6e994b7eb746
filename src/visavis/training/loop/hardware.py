"""Mixed precision, where it is a gain."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import functools
import sys
import time
from collections.abc import Iterator
from typing import Final

import torch
from torch.utils.flop_counter import FlopCounterMode

from visavis.embedding.torch import FaceNetwork
from visavis.training.recipes.recipe import Recipe

_INSTRUCTIONS: Final = ("avx512_bf16", "amx_bf16", "bf16")  # the last one is ARM's


def computes_in_bf16(device: torch.device) -> bool:
    """Whether the device has arithmetic for bfloat16.

    A processor without it (AVX2, and AVX-512 before its BF16 instructions) is given bfloat16 by
    conversion to float32 and back, which takes many times as long as float32 itself and loses
    digits for nothing. Accelerators other than CUDA's are taken at the recipe's word.
    """
    if device.type == "cpu":
        return _cpu_computes_in_bf16()
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type in {"mps", "xpu"}


def _cpu_computes_in_bf16() -> bool:
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    if not hasattr(torch.cpu, "get_capabilities"):  # PyTorch before 2.11
        return True
    has = torch.cpu.get_capabilities()
    return any(has.get(name) for name in _INSTRUCTIONS)


def name(recipe: Recipe, device: torch.device) -> str:
    """What a run of the recipe on the device computes in: ``32`` or ``bf16``."""
    return "bf16" if half(recipe, device) else "32"


def half(recipe: Recipe, device: torch.device) -> bool:
    """Whether a run of the recipe on the device computes in bfloat16."""
    return recipe.precision == "bf16" and computes_in_bf16(device)


def expected_device(accelerator: str = "auto") -> torch.device:
    """Where a run with Lightning's ``accelerator`` will compute."""
    if accelerator == "cpu":
        return torch.device("cpu")
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


@contextlib.contextmanager
def threads(number: int | None) -> Iterator[None]:
    """Within, PyTorch computes on so many threads; ``None`` leaves them as they are.

    >>> with threads(1):
    ...     torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    if number is not None:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_MOST: Final = 2**31 - 1
_LARGEST: Final = 1 << 30  # bytes
_OWN_LARGEST: Final = 1 << 25  # what glibc's mmap threshold grows to


def keep_memory() -> bool:
    """Let this process keep what it frees, instead of handing it back to the system.

    glibc maps each block of more than 32 MB anew and unmaps it when it is freed. A step's
    activations are such blocks, and the system zeroes every page of them, at every step: on two
    CPU cores, that is a fifth of the time of a step of SFace's network (``python -m
    benchmarks.input_pipeline --recipes finetune-sface``). Memory in use does not rise, but what
    was used once stays with the process. ``mallopt(3)``, for the whole process.

    Returns:
        Whether the allocator took it: glibc does, others have no such setting and need none.
    """
    return _set_thresholds(_LARGEST, _MOST)


def return_memory() -> bool:
    """Back to where glibc's thresholds come by themselves once large blocks have been freed.

    Returns:
        As for ``keep_memory``.
    """
    return _set_thresholds(_OWN_LARGEST, 2 * _OWN_LARGEST)


def _set_thresholds(mapped: int, trimmed: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
        ctypes.CDLL(None).gnu_get_libc_version  # noqa: B018 (other C libraries lack it)
    except (AttributeError, OSError):
        return False
    # Older versions refuse a threshold above 32 MB.
    taken = mallopt(_MMAP_THRESHOLD, mapped) or mallopt(_MMAP_THRESHOLD, _OWN_LARGEST)
    return bool(mallopt(_TRIM_THRESHOLD, trimmed) and taken)


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
