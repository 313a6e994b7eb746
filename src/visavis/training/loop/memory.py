"""Memory that a step of training gave back is kept for the next one."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

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
