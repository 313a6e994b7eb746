"""JPEG files: structures that would take time out of proportion, and coded data that run out."""

from __future__ import annotations

import io
import re
from typing import Final

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageChops, JpegImagePlugin

from visavis.errors import ImageTruncatedError
from visavis.images.limits import check_exif, refuse_excess

_MOST_SCANS: Final = 100
_MOST_SEGMENTS: Final = 4096  # 100 MB are 1,526 segments of the greatest length
_MOST_TABLES: Final = 1_000_000
_MOST_FILL: Final = 1 << 16
_BLOCK: Final = 8
_RESTARTS: Final = [bytes((0xFF, 0xD0 + number)) for number in range(8)]
# The first byte is zero, so that a fill byte (0xFF) in front of it becomes data, not a marker.
_FILLER: Final = bytes(number * 151 % 255 for number in range(24))
_LONG_FILLER: Final = bytes(number * 151 % 255 for number in range(500))
_EOI, _SOS, _APP0, _APP1, _APP15, _COMMENT = 0xD9, 0xDA, 0xE0, 0xE1, 0xEF, 0xFE
# Neither of these can match at more than one length: their time is linear, whatever the bytes.
_MARKER: Final = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)
_END_OF_CODED_DATA: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_HUFFMAN_FRAMES: Final = frozenset((0xC0, 0xC1, 0xC2))
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE: Final = frozenset((0x01, *range(0xD0, 0xDA)))  # markers without a length


def coded_data(data: bytes, name: str) -> tuple[list[tuple[int, int]], bool]:
    """Where the coded data of the first photo are, one (start, end) a scan, and if Huffman coded.

    Raises:
        ImageUnsupportedError: more scans, segments, tables, EXIF data or fill bytes than any photo
            has. libjpeg goes through the whole picture for each scan and through a run of fill
            bytes again for each block that Pillow reads; Pillow copies all EXIF data for each
            further segment of them.
    """
    scans: list[tuple[int, int]] = []
    huffman = True
    place, tables, exif = 2, 0, 0
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.search(data, place)
        if found is None:
            return scans, huffman
        marker, place = data[found.end() - 1], found.end()
        if marker == _EOI:
            return scans, huffman
        if marker in _BARE and marker != _SOS:
            continue
        length = int.from_bytes(data[place : place + 2], "big")
        if marker in _FRAMES:
            huffman &= marker in _HUFFMAN_FRAMES
        if marker == _APP1 and data.startswith(b"Exif\0\0", place + 2):
            exif += length
            check_exif(exif, name)
        elif not _APP0 <= marker <= _APP15 and marker != _COMMENT:
            tables += length
            if tables > _MOST_TABLES:
                refuse_excess(name, "JPEG", f"more than {_MOST_TABLES:,} bytes of tables")
        place += length
        if marker == _SOS:
            if len(scans) == _MOST_SCANS:
                refuse_excess(name, "JPEG", f"more than {_MOST_SCANS} scans")
            found = _END_OF_CODED_DATA.search(data, place)
            end = len(data) if found is None else found.start()
            if data.find(b"\xff" * _MOST_FILL, place, end) >= 0:
                refuse_excess(name, "JPEG", f"{_MOST_FILL:,} or more fill bytes in a row")
            scans.append((place, end))
            place = end
    return refuse_excess(name, "JPEG", f"more than {_MOST_SEGMENTS:,} segments")


def check_complete(image: PillowImage.Image, data: bytes, name: str) -> None:
    """Refuse a JPEG whose data ran out before its pixels did.

    Where a scan stops early (a file cut and closed with an end marker, a marker made by a flipped
    bit), libjpeg fills the rest with mid-gray and only counts a warning, which Pillow does not
    look at. So: if some 8 x 8 block may be plain mid-gray, decode once more with bytes added at
    the end of every run of coded data. A complete photo does not change, because nothing reads
    them. Costs at most one more decoding of the picture.

    Args:
        image: the decoded first photo in ``data``, as stored (neither rotated nor converted).
        data: the file, which ``coded_data`` has passed.
        name: what to call it.

    Raises:
        ImageTruncatedError: coded data is missing.
        ImageUnsupportedError: more restart markers than the picture has blocks.
    """
    if not _has_gray_block(image):
        return
    scans, huffman = coded_data(data, name)
    if not huffman:
        return  # Arithmetic coding may leave out trailing bytes.
    blocks = -(-image.width // _BLOCK) * -(-image.height // _BLOCK)
    if any(_restarts(data, *scan) > blocks for scan in scans):
        refuse_excess(name, "JPEG", "more restart markers than blocks")
    again = JpegImagePlugin.JpegImageFile(io.BytesIO(_padded(data, scans)), "")
    again.load()
    if ImageChops.difference(image, again).getbbox() is not None:
        raise ImageTruncatedError(
            f"{name} is a JPEG that ends early or lacks data in the middle",
            "copy or download the photo again",
        )


def _has_gray_block(image: PillowImage.Image) -> bool:
    """Whether one of the pixels, sampled at least once per block, is mid-gray in every channel."""
    width, height = image.size
    small = image.resize(
        (-(-width // _BLOCK), -(-height // _BLOCK)), PillowImage.Resampling.NEAREST
    )
    levels = np.asarray(small).reshape(small.width * small.height, -1)
    # 127 is mid-gray in the inverted CMYK that Adobe writes.
    return bool(((levels == 127) | (levels == 128)).all(axis=1).any())


def _restarts(data: bytes, start: int, end: int) -> int:
    return sum(data.count(marker, start, end) for marker in _RESTARTS)


def _padded(data: bytes, scans: list[tuple[int, int]]) -> bytes:
    """The file with bytes added at the end of each run of coded data."""
    parts: list[bytes] = []
    copied = 0
    for start, end in scans:
        coded = data[start:end]
        for marker in _RESTARTS:
            coded = coded.replace(marker, _FILLER + marker)
        # One interval more, should the data have stopped between two.
        following = _RESTARTS[_restarts(data, start, end) % 8]
        parts += (data[copied:start], coded, _LONG_FILLER, following, _LONG_FILLER)
        copied = end
    return b"".join((*parts, data[copied:]))
