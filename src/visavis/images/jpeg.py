"""Damage in JPEG files that the decoder passes over in silence."""

from __future__ import annotations

import io
import re
from typing import Final

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageChops, JpegImagePlugin

from visavis.errors import ImageTruncatedError, ImageUnsupportedError

_MOST_SCANS: Final = 500
_BLOCK: Final = 8
_FILLER: Final = bytes(range(1, 251)) * 2
_EOI, _SOS = 0xD9, 0xDA
_RESTARTS: Final = range(0xD0, 0xD8)
_MARKER: Final = re.compile(rb"\xff+[^\xff]", re.DOTALL)
_CODED_MARKER: Final = re.compile(rb"\xff+[^\x00\xff]", re.DOTALL)
_HUFFMAN_FRAMES: Final = frozenset((0xC0, 0xC1, 0xC2))
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE: Final = frozenset((0x01, *range(0xD0, 0xDA)))  # markers without a length


def check_scans(data: bytes, name: str) -> None:
    """Refuse a progressive JPEG of so many scans that decoding it would take minutes.

    Raises:
        ImageUnsupportedError: more than 500 scans; photos have about ten.
    """
    if data.count(b"\xff\xda\x00") > _MOST_SCANS:
        raise ImageUnsupportedError(
            f"{name} is a JPEG of more than {_MOST_SCANS} scans", "save it anew as a plain JPEG"
        )


def check_complete(image: PillowImage.Image, data: bytes, name: str) -> None:
    """Refuse a JPEG whose data ran out before its pixels did.

    Where a scan stops early (a file cut and closed with an end marker, a marker made by a flipped
    bit), libjpeg fills the rest with mid-gray and only counts a warning, which Pillow does not
    look at. So: if some 8 x 8 block may be plain mid-gray, decode again with bytes added at the
    end of every run of coded data. A complete photo does not change, because nothing reads them.

    Args:
        image: the decoded first photo in ``data``, as stored (neither rotated nor converted).
        data: the file.
        name: what to call it.

    Raises:
        ImageTruncatedError: coded data is missing.
    """
    if not _has_gray_block(image):
        return
    padded = _pad_runs(data)
    if padded is None:
        return
    again = JpegImagePlugin.JpegImageFile(io.BytesIO(padded), "")
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


def _pad_runs(data: bytes) -> bytes | None:
    """The file with bytes added at the end of each run of coded data of its first photo.

    None where that proves nothing: arithmetic coding may leave out trailing bytes.
    """
    parts: list[bytes] = []
    copied, place = 0, 2
    in_scan, restarts = False, 0
    while found := (_CODED_MARKER if in_scan else _MARKER).search(data, place):
        marker = data[found.end() - 1]
        if in_scan:
            parts += (data[copied : found.start()], _FILLER)
            copied = found.start()
            in_scan = marker in _RESTARTS
            restarts += in_scan
            if not in_scan:
                # One interval more, should the data have stopped between two.
                parts += (b"\xff", bytes([_RESTARTS[restarts % 8]]), _FILLER)
        place = found.end()
        if marker == _EOI:
            break
        if marker in _FRAMES and marker not in _HUFFMAN_FRAMES:
            return None
        if marker not in _BARE:
            place += int.from_bytes(data[place : place + 2], "big")
        if marker == _SOS:
            in_scan, restarts = True, 0
    return b"".join((*parts, data[copied:]))
