"""Precision, speed, memory and threads of the device."""

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

from visavis.embedding.torch import FaceNetwork
from visavis.training.recipes.recipe import Recipe

_INSTRUCTIONS: Final = ("avx512_bf16", "amx_bf16", "bf16")  # the last one is ARM's


def computes_in_bf16(device: torch.device) -> bool:
    """Returns whether the device computes in bfloat16.

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


def uses_bf16(recipe: Recipe, device: torch.device) -> bool:
    """Returns whether the recipe uses bfloat16 on the device."""
    return recipe.precision == "bf16" and computes_in_bf16(device)


def precision_name(recipe: Recipe, device: torch.device) -> str:
    """Precision of a run of the recipe on the device: ``32`` or ``bf16``."""
    return "bf16" if uses_bf16(recipe, device) else "32"


def expected_device(accelerator: str = "auto") -> torch.device:
    """The device of a run with Lightning's ``accelerator``."""
    if accelerator == "cpu":
        return torch.device("cpu")
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


@contextlib.contextmanager
def threads(number: int | None) -> Iterator[None]:
    """Context with another number of PyTorch threads; ``None`` changes nothing.

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


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_OWN_LARGEST: Final = 1 << 25  # bytes; what glibc's mmap threshold grows to
_PRODUCTS: Final = 5


def keep_memory(keep: bool = True) -> bool:
    """Makes this process keep freed memory instead of returning it to the system.

    glibc maps each block of more than 32 MB anew and unmaps it when it is freed. A step's
    activations are such blocks, and the system zeroes every page of them, at every step: on two
    CPU cores, that is a fifth of the time of a step of SFace's network (``python -m
    benchmarks.input_pipeline --recipes finetune-sface``). Memory in use does not rise, but what
    was used once stays with the process. ``mallopt(3)``, for the whole process.

    Args:
        keep: false for the thresholds that glibc comes to by itself.

    Returns:
        Whether the allocator took it: glibc does, others have no such setting and need none.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
        ctypes.CDLL(None).gnu_get_libc_version  # noqa: B018 (other C libraries lack it)
    except (AttributeError, OSError):
        return False
    # Older versions refuse a threshold above 32 MB.
    taken = (keep and mallopt(_MMAP_THRESHOLD, 1 << 30)) or mallopt(_MMAP_THRESHOLD, _OWN_LARGEST)
    return bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1 if keep else 2 * _OWN_LARGEST) and taken)


def training_flops(network: FaceNetwork) -> int:
    """Floating point operations of the forward and backward pass of one image.

    Counted by PyTorch on a copy without data: nothing is computed. A multiplication and an
    addition are two.
    """
    from lightning.fabric.utilities.throughput import measure_flops  # loads all of Lightning

    size = network.spec.input_size
    ghost = copy.deepcopy(network).to("meta").train()
    images = torch.zeros(2, 3, size, size, device="meta")  # two: batch normalization wants more
    return measure_flops(ghost, lambda: ghost.raw(images), lambda raw: raw.sum()) // len(images)


@functools.cache
def measured_peak(device: torch.device, dtype: torch.dtype, threads: int) -> float:
    """Floating point operations per second of a large matrix product.

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
    """Name of the device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def wait(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
