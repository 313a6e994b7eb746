"""Damage in PNG files that Pillow lets pass."""

from __future__ import annotations

import zlib
from typing import Final

from visavis.errors import ImageTruncatedError

_SIGNATURE: Final = 8
_AGAIN: Final = "copy or download the photo again"


def check_chunks(data: bytes, name: str) -> None:
    """Check the CRC-32 of each image data chunk, and that the file goes on to its end marker.

    Pillow skips the checksums of ``IDAT``, so that flipped bits in the last few percent of the
    data give wrong pixels in silence.

    Raises:
        ImageTruncatedError: a checksum is wrong, or the file stops before ``IEND``.
    """
    view = memoryview(data)
    start = _SIGNATURE
    while start + 12 <= len(data):
        length = int.from_bytes(view[start : start + 4], "big")
        end = start + 8 + length
        kind = bytes(view[start + 4 : start + 8])
        if end + 4 > len(data):
            break
        if kind in (b"IDAT", b"fdAT"):
            stored = int.from_bytes(view[end : end + 4], "big")
            if zlib.crc32(view[start + 4 : end]) != stored:
                raise ImageTruncatedError(
                    f"{name} is a damaged PNG (wrong checksum of its image data)", _AGAIN
                )
        if kind == b"IEND":
            return
        start = end + 4
    raise ImageTruncatedError(f"{name} is a PNG that ends early", _AGAIN)
