"""Pillow's process-wide settings while a photo is decoded: no warnings, and no leniency."""

from __future__ import annotations

import re
import threading
import warnings
from typing import Any, Final

from PIL import ImageFile

# The comment in the pattern tells this filter from any that the host installed.
_FILTER: Final = ("ignore", None, Warning, re.compile(r"(?:PIL|pillow_heif)\.(?#visavis)"), 0)


class Quiet:
    """Context manager: Pillow's own modules warn of nothing and refuse what is cut off.

    ``warnings.catch_warnings`` replaces process-wide state and puts it back, so that two threads
    undo each other's. This puts one filter, which concerns Pillow's modules only, in front while
    at least one thread is inside, and takes it away when the last one leaves. So too with
    ``PIL.ImageFile.LOAD_TRUNCATED_IMAGES``: where the host has set it, Pillow would fill missing
    parts of a photo and pass over errors of its codecs.
    """

    __slots__ = ()
    _lock = threading.Lock()
    _inside = 0
    _lenient = False

    def __enter__(self) -> None:
        with Quiet._lock:
            Quiet._inside += 1
            if Quiet._inside == 1:
                # Not warnings.filterwarnings(): that also makes every module of the process
                # forget which warnings it has shown already.
                _filters().insert(0, _FILTER)
                Quiet._lenient = ImageFile.LOAD_TRUNCATED_IMAGES
                ImageFile.LOAD_TRUNCATED_IMAGES = False

    def __exit__(self, *_: object) -> None:
        with Quiet._lock:
            Quiet._inside -= 1
            if Quiet._inside == 0:
                ImageFile.LOAD_TRUNCATED_IMAGES |= Quiet._lenient
                # Another thread's catch_warnings may have swapped the list meanwhile.
                if _FILTER in _filters():
                    _filters().remove(_FILTER)


def _filters() -> list[Any]:
    return warnings.filters  # type: ignore[return-value]
