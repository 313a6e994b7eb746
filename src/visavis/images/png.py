"""PNG files: damage that Pillow lets pass, and chunks that would take it long."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Final

from PIL import Image as PillowImage

from visavis.errors import ImageTruncatedError
from visavis.images.limits import refuse_excess

_SIGNATURE: Final = 8
_MOST_CHUNKS: Final = 1 << 16
_MOST_OF: Final = {b"IHDR": 1, b"iCCP": 4}  # a profile inflates to 1 MB, a thousandfold
_PIECE: Final = 1 << 12  # of compressed bytes
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
        ImageUnsupportedError: more chunks than any photo has, each of which takes Pillow a while.
    """
    seen: Counter[bytes] = Counter()
    for kind, content, stored in _chunks(data, name):
        if kind == b"IEND":
            return
        if kind in _MOST_OF:
            seen[kind] += 1
            if seen[kind] > _MOST_OF[kind]:
                refuse_excess(name, "PNG", f"more than {_MOST_OF[kind]} {kind.decode()} chunks")
        elif kind in (b"IDAT", b"fdAT") and zlib.crc32(content, zlib.crc32(kind)) != stored:
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
    if not _has_rows(data, _inflated_size(data), name):
        raise ImageTruncatedError(f"{name} is a PNG that lacks rows", _AGAIN)


def _has_rows(data: bytes, size: int, name: str) -> bool:
    """Whether the image data inflate to ``size`` bytes; inflates hardly more."""
    inflater = zlib.decompressobj()
    count = 0
    for kind, content, _ in _chunks(data, name):
        if kind == b"IDAT":
            for start in range(0, len(content), _PIECE):
                count += len(inflater.decompress(content[start : start + _PIECE]))
                if count >= size or inflater.eof:
                    return count >= size
    return False


def _chunks(data: bytes, name: str) -> Iterator[tuple[bytes, memoryview, int]]:
    """Kind, content and stored checksum of each whole chunk."""
    view = memoryview(data)
    start = _SIGNATURE
    for _ in range(_MOST_CHUNKS):
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
    refuse_excess(name, "PNG", f"more than {_MOST_CHUNKS:,} chunks")


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
