"""Damage in PNG files that Pillow lets pass."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from PIL import Image as PillowImage

from visavis.errors import ImageTruncatedError

_SIGNATURE: Final = 8
_PIECE: Final = 1 << 20
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# First column, first row, and the steps between them, of the seven passes of interlacing.
_ADAM7: Final = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
_AGAIN: Final = "copy or download the photo again"


def check_chunks(data: bytes, name: str) -> None:
    """Check the CRC-32 of each image data chunk, and that the file goes on to its end marker.

    Pillow skips the checksums of ``IDAT``, so that flipped bits in the last few percent of the
    data give wrong pixels in silence.

    Raises:
        ImageTruncatedError: a checksum is wrong, or the file stops before ``IEND``.
    """
    for kind, content, stored in _chunks(data):
        if kind == b"IEND":
            return
        if kind in (b"IDAT", b"fdAT") and zlib.crc32(content, zlib.crc32(kind)) != stored:
            raise ImageTruncatedError(
                f"{name} is a damaged PNG (wrong checksum of its image data)", _AGAIN
            )
    raise ImageTruncatedError(f"{name} is a PNG that ends early", _AGAIN)


def check_complete(image: PillowImage.Image, data: bytes, name: str) -> None:
    """Refuse a PNG with fewer pixels in its data than its header says.

    Pillow leaves the missing ones zero. So: if one of the last two rows is all zero, inflate the
    data again and count. (Two, because the rows of an interlaced PNG do not come in order.)

    Args:
        image: the decoded image, neither rotated nor converted.
        data: the file, which ``check_chunks`` has passed.
        name: what to call it.

    Raises:
        ImageTruncatedError: pixels are missing.
    """
    width, height = image.size
    last = (image.crop((0, y, width, y + 1)) for y in range(max(height - 2, 0), height))
    if all(row.getbbox(alpha_only=False) is not None for row in last):
        return
    inflater = zlib.decompressobj()
    count = 0
    for kind, content, _ in _chunks(data):
        if kind == b"IDAT":
            rest = bytes(content)
            while rest and not inflater.eof:
                count += len(inflater.decompress(rest, _PIECE))
                rest = inflater.unconsumed_tail
    if count < _inflated_size(data):
        raise ImageTruncatedError(f"{name} is a PNG that lacks rows", _AGAIN)


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, int]]:
    """Kind, content and stored checksum of each whole chunk."""
    view = memoryview(data)
    start = _SIGNATURE
    while start + 12 <= len(data):
        end = start + 8 + int.from_bytes(view[start : start + 4], "big")
        if end + 4 > len(data):
            return
        content = view[start + 8 : end]
        yield (
            bytes(view[start + 4 : start + 8]),
            content,
            int.from_bytes(view[end : end + 4], "big"),
        )
        start = end + 4


def _inflated_size(data: bytes) -> int:
    """Bytes of filtered rows that the header promises."""
    width, height = (int.from_bytes(data[i : i + 4], "big") for i in (16, 20))
    bits = data[24] * _CHANNELS.get(data[25], 1)
    passes = _ADAM7 if data[28] else ((0, 0, 1, 1),)
    total = 0
    for left, top, right, down in passes:
        columns = -(-max(width - left, 0) // right)
        rows = -(-max(height - top, 0) // down)
        total += rows * (1 + (columns * bits + 7) // 8) if columns else 0
    return total
