"""Context managers for decoding with Pillow: no warnings, strict mode, and our own errors."""

from __future__ import annotations

import re
import struct
import threading
import warnings
import zlib
from types import TracebackType
from typing import Any, Final

from PIL import Image as PillowImage
from PIL import ImageFile

from visavis.errors import (
    ImageError,
    ImageTooLargeError,
    ImageTruncatedError,
    ImageUnsupportedError,
    NotAnImageError,
    VisavisError,
)
from visavis.images.describe import printable, with_article
from visavis.images.sniff import ACCEPTED

# The comment in the pattern distinguishes this filter from the host's.
_FILTER: Final = ("ignore", None, Warning, re.compile(r"(?:PIL|pillow_heif)\.(?#visavis)"), 0)


class Quiet:
    """Context manager that silences Pillow's warnings and makes it refuse truncated files.

    ``warnings.catch_warnings`` replaces and restores process-wide state, which is not thread-safe.
    This adds one filter, for Pillow's modules only, while at least one thread is inside, and
    removes it when the last one leaves. It does the same for
    ``PIL.ImageFile.LOAD_TRUNCATED_IMAGES``: if the host has set it, Pillow fills missing parts of a
    photo and ignores codec errors.
    """

    __slots__ = ()
    _lock = threading.Lock()
    _inside = 0
    _lenient = False

    def __enter__(self) -> None:
        with Quiet._lock:
            Quiet._inside += 1
            if Quiet._inside == 1:
                # Not warnings.filterwarnings(): that also makes every module of the process forget
                # which warnings it has shown.
                _filters().insert(0, _FILTER)
                Quiet._lenient = ImageFile.LOAD_TRUNCATED_IMAGES
                ImageFile.LOAD_TRUNCATED_IMAGES = False

    def __exit__(self, *_: object) -> None:
        with Quiet._lock:
            Quiet._inside -= 1
            if Quiet._inside == 0:
                ImageFile.LOAD_TRUNCATED_IMAGES |= Quiet._lenient
                # Another thread's catch_warnings may have replaced the list.
                if _FILTER in _filters():
                    _filters().remove(_FILTER)


def _filters() -> list[Any]:
    return warnings.filters  # type: ignore[return-value]


# Exceptions of Pillow's readers for damaged files: the first six were found by fuzzing, the rest
# are in their code. Programming errors (AttributeError, NameError) are not included.
_RAISED: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    RuntimeError,
    PillowImage.DecompressionBombError,
    struct.error,
    zlib.error,
    LookupError,
    TypeError,
    ArithmeticError,
    MemoryError,
    Warning,
)
_WEAK_SIGNATURE: Final = frozenset(("BMP", "PPM"))
_TOO_LARGE: Final = re.compile(r"(?i)data too large|too much memory|security limit|out of memory")
_UNSUPPORTED: Final = re.compile(
    r"(?i)unsupported|not supported|not yet supported|cannot handle|unknown (?:pixel mode|compr)"
)
_EARLY: Final = re.compile(r"(?i)truncated|end of file|first frame|reached eof|no more images")


class Translate:
    """Context manager that translates Pillow's exceptions to the image errors of
    ``visavis.errors``.

    Args:
        name: name of the photo in messages.
        kind: its format, as ``sniff`` names it, or ``image``.
        opened: set to True after the header was read.
    """

    __slots__ = ("kind", "name", "opened")

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self.opened = False

    def __enter__(self) -> Translate:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, _RAISED) and not isinstance(error, VisavisError):
            raise self._translated(error) from error

    def _translated(self, error: BaseException) -> ImageError:
        text = printable(str(error))[:120] or type(error).__name__
        if isinstance(error, PillowImage.DecompressionBombError):
            return ImageTooLargeError(
                f"{self.name} has more pixels than Pillow takes ({text})", "scale the photo down"
            )
        if isinstance(error, MemoryError) or _TOO_LARGE.search(text):
            return ImageTooLargeError(
                f"{self.name} is {with_article(self.kind)} that takes too much memory ({text})",
                "scale the photo down and save it without extra data",
            )
        if not self.opened and self.kind in _WEAK_SIGNATURE:
            return NotAnImageError(
                f"{self.name} is not an image ({text})", f"pass a photo as {ACCEPTED}"
            )
        if _UNSUPPORTED.search(text):
            return ImageUnsupportedError(
                f"{self.name} is {with_article(self.kind)} of a kind that is not read ({text})",
                "save it anew as a plain JPEG or PNG",
            )
        state = "ends early" if _EARLY.search(text) else "is damaged"
        return ImageTruncatedError(
            f"{self.name} is {with_article(self.kind)} that {state} ({text})",
            "copy or download the photo again",
        )
