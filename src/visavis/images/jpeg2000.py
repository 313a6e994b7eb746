"""Checks JPEG 2000 codestreams for tiles or precincts that need too much memory."""

from __future__ import annotations

import re
import struct
from typing import Final

from visavis.images.limits import Limits, refuse_excess

_HEADER_BOX: Final = b"jp2h"
_START: Final = re.compile(rb"\xff\x4f\xff\x51|jp2h", re.DOTALL)
_MOST_STARTS: Final = 16
_LARGEST_HEADER: Final = 4_000_000  # Pillow reads its boxes in Python
_MOST_SEGMENTS: Final = 1 << 18
_MOST_COMPONENTS: Final = 4
_TILE: Final = 4096  # fewest pixels per tile; each takes about 10 KB
_PRECINCT: Final = 64  # fewest samples per precinct; each takes about 500 bytes
_FREE: Final = 64  # tiles, and precincts per tile and component, that are always allowed
_COD, _COC, _SOT, _SOD, _EOC = 0xFF52, 0xFF53, 0xFF90, 0xFF93, 0xFFD9
# Markers of segments with a length; OpenJPEG searches for one of them behind any other.
_KNOWN: Final = bytes.fromhex("50515253 555758595c5d5e5f 606163647475767778 9093")


def check_codestreams(data: bytes, limits: Limits, name: str) -> None:
    """Refuses very long headers in ``data``, and very small tiles or precincts.

    Without this, a file of 150 bytes makes OpenJPEG take 550 bytes a pixel.

    Raises:
        ImageTooLargeError: more pixels than ``limits`` allows.
        ImageUnsupportedError: too many tiles, precincts, components or segments.
    """
    for number, found in enumerate(_START.finditer(data)):
        if number == _MOST_STARTS:
            refuse_excess(name, "JPEG2000", f"more than {_MOST_STARTS} headers")
        if found.group() == _HEADER_BOX:
            size = int.from_bytes(data[max(found.start() - 4, 0) : found.start()], "big")
            if size == 1 or size > _LARGEST_HEADER:
                refuse_excess(name, "JPEG2000", f"a header of more than {_LARGEST_HEADER:,} bytes")
            continue
        try:
            _check_codestream(data, found.start(), limits, name)
        except struct.error:
            continue  # It ends early; the decoder reports that.


def _check_codestream(data: bytes, start: int, limits: Limits, name: str) -> None:
    x, y, left, top, width, height, x0, y0, components = struct.unpack_from(">8IH", data, start + 8)
    limits.check_size(max(x - left, 0), max(y - top, 0), name)
    if components > _MOST_COMPONENTS:
        refuse_excess(name, "JPEG2000", f"{components:,} components")
    width, height = max(width, 1), max(height, 1)
    tiles = -(-max(x - x0, 1) // width) * -(-max(y - y0, 1) // height)
    if tiles > _FREE + (x - left) * (y - top) // _TILE:
        refuse_excess(name, "JPEG2000", f"{tiles:,} tiles")
    sides = min(width, x), min(height, y)
    place, end_of_part = start + 2, 0
    for _ in range(_MOST_SEGMENTS):
        marker, length = struct.unpack_from(">HH", data, place)
        if marker == _EOC:
            return
        if marker >> 8 != 0xFF or marker & 0xFF not in _KNOWN or length < 2:
            refuse_excess(name, "JPEG2000", f"an unknown segment ({marker:#x})")
        if marker in (_COD, _COC):
            _check_precincts(data, place, marker, sides, name)
        if marker == _SOT:
            (size,) = struct.unpack_from(">I", data, place + 6)
            end_of_part = place + size if size else len(data)
        place = end_of_part if marker == _SOD else place + 2 + length
    refuse_excess(name, "JPEG2000", f"more than {_MOST_SEGMENTS:,} segments")


def _check_precincts(
    data: bytes, place: int, marker: int, sides: tuple[int, int], name: str
) -> None:
    """Counts the precincts of one tile and component according to a COD or COC segment."""
    style, levels = (4, 9) if marker == _COD else (5, 6)
    if not data[place + style] & 1:
        return  # as large as the tile
    count = 0
    (most,) = struct.unpack_from(">B", data, place + levels)
    for resolution in range(most + 1):
        (exponents,) = struct.unpack_from(">B", data, place + levels + 5 + resolution)
        shift = most - resolution
        across, down = (
            ((side >> shift) >> exponent) + 2
            for side, exponent in zip(sides, (exponents & 15, exponents >> 4), strict=True)
        )
        count += across * down
    if count > _FREE * 4 + sides[0] * sides[1] // _PRECINCT:
        refuse_excess(name, "JPEG2000", f"{count:,} precincts a tile")
