"""Names sources in messages."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from PIL import Image as PillowImage

_LONGEST = 240


def describe(source: Any, /) -> str:
    """Returns the name of a source for messages, on one printable line.

    Args:
        source: anything; see :func:`visavis.images.decode`.

    Returns:
        The path, or the kind and size of the source. Paths that do not print plainly (control
        characters, invalid text, spaces at the ends) are quoted and escaped; very long ones are
        shortened in the middle.

    >>> describe("people/ann.jpg")
    'people/ann.jpg'
    >>> describe(bytes(1234))
    'bytes (1,234 B)'
    >>> describe(np.zeros((480, 640, 3), np.uint8))
    'array (480, 640, 3) uint8'
    """
    if isinstance(source, np.ndarray):
        return f"array {source.shape} {source.dtype}"
    if isinstance(source, PillowImage.Image):
        return f"PIL image ({source.mode} {source.width} x {source.height})"
    if isinstance(source, (bytes, bytearray, memoryview)):
        return f"bytes ({memoryview(source).nbytes:,} B)"
    if isinstance(source, (str, os.PathLike)):
        return printable(os.fsdecode(source))
    if hasattr(source, "read"):
        name = getattr(source, "name", None)
        return printable(name) if isinstance(name, str) and name else "file object"
    return f"object of type {type(source).__name__}"


def printable(text: str) -> str:
    """Returns text unchanged if it prints plainly on one line; otherwise quoted and escaped."""
    if not text or not text.isprintable() or text != text.strip():
        text = repr(text)
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 :]}"
    return text


def with_article(noun: str) -> str:
    """Adds ``a`` or ``an`` to a noun.

    >>> with_article("icon"), with_article("JPEG")
    ('an icon', 'a JPEG')
    """
    return f"{'an' if noun[0] in 'aeioAEIO' else 'a'} {noun}"
