"""Refuses structures of JPEG, JPEG 2000 and TIFF that cost time or memory out of proportion."""

from __future__ import annotations

import re
import struct
from typing import Any, Final

from PIL import ImageFile

from visavis.errors import ImageTruncatedError, ImageUnsupportedError
from visavis.images.reading import Limits, check_exif, refuse_excess

_MOST_SCANS: Final = 100
_MOST_SEGMENTS: Final = 4096  # 100 MB are 1,526 segments of the greatest length
_MOST_TABLES: Final = 1_000_000
_MOST_FILL: Final = 1 << 16
_EOI, _SOS, _COMMENT = 0xD9, 0xDA, 0xFE
_APP0, _APP1, _APP2, _APP15 = 0xE0, 0xE1, 0xE2, 0xEF
# Neither of these can match at more than one length: their time is linear, whatever the bytes.
_MARKER: Final = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)
_END_OF_CODED_DATA: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_BARE: Final = frozenset((0x01, *range(0xD0, 0xDA)))  # markers without a length


def check_jpeg(data: bytes, name: str) -> None:
    """Refuse what would take libjpeg or Pillow time out of proportion to the picture.

    Raises:
        ImageUnsupportedError: more scans, segments, tables, EXIF data or fill bytes than any photo
            has. libjpeg goes through the whole picture for each scan and through a run of fill
            bytes again for each block that Pillow reads; Pillow copies all EXIF data for each
            further segment of them, and reads their directories and that of further pictures.
    """
    exif, pictures = _check_segments(data, name)
    for directories in (exif, pictures):
        check_directories(directories, 0, name, "JPEG")


def _check_segments(data: bytes, name: str) -> tuple[bytes, bytes]:
    """Returns all EXIF data, and the last list of further pictures."""
    exif, pictures = bytearray(), b""
    place, tables, scans = 2, 0, 0
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.search(data, place)
        if found is None:
            break
        marker, place = data[found.end() - 1], found.end()
        if marker == _EOI:
            break
        if marker in _BARE and marker != _SOS:
            continue
        length = int.from_bytes(data[place : place + 2], "big")
        if marker == _APP1 and data.startswith(b"Exif\0\0", place + 2):
            exif += data[place + 8 : place + length]
            check_exif(len(exif), name)
        elif marker == _APP2 and data.startswith(b"MPF\0", place + 2):
            pictures = data[place + 6 : place + length]
        elif not _APP0 <= marker <= _APP15 and marker != _COMMENT:
            tables += length
            if tables > _MOST_TABLES:
                refuse_excess(name, "JPEG", f"more than {_MOST_TABLES:,} bytes of tables")
        place += length
        if marker == _SOS:
            scans += 1
            if scans > _MOST_SCANS:
                refuse_excess(name, "JPEG", f"more than {_MOST_SCANS} scans")
            found = _END_OF_CODED_DATA.search(data, place)
            end = len(data) if found is None else found.start()
            if data.find(b"\xff" * _MOST_FILL, place, end) >= 0:
                refuse_excess(name, "JPEG", f"{_MOST_FILL:,} or more fill bytes in a row")
            place = end
    else:
        refuse_excess(name, "JPEG", f"more than {_MOST_SEGMENTS:,} segments")
    return bytes(exif), pictures


_HEADER_BOX: Final = b"jp2h"
_START: Final = re.compile(rb"\xff\x4f\xff\x51|jp2h", re.DOTALL)
_MOST_STARTS: Final = 16
_LARGEST_HEADER: Final = 4_000_000  # Pillow reads its boxes in Python
_MOST_PARTS: Final = 1 << 18
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
    for _ in range(_MOST_PARTS):
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
    refuse_excess(name, "JPEG2000", f"more than {_MOST_PARTS:,} segments")


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


_HEADER: Final = re.compile(rb"II[*+]\x00|MM\x00[*+]|MM\*\x00|II\x00\*")
_BIG: Final = 43  # third byte of the header
_MOST_ENTRIES: Final = 4096
_MOST_STRIPS: Final = 1 << 16
_MOST_VALUES: Final = 1 << 18  # of all tags together
_BYTES: Final = frozenset((1, 2, 7))  # types that Pillow does not convert
_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
                 16: 8, 17: 8, 18: 8}  # bytes of one value, by type  # fmt: skip
_WIDTH: Final = {3: 2, 4: 4, 6: 1, 8: 2, 9: 4, 13: 4}  # bytes of one value, by type
_STRIPS: Final = frozenset((273, 279, 324, 325))
_DIRECTORIES: Final = frozenset((34665, 34853, 40965))  # EXIF, GPS and interoperability
_MOST_DIRECTORIES: Final = 16
_LARGEST_TILE: Final = 1 << 20  # pixels of tiles, if the image is smaller
# Tags NewSubfileType and PlanarConfiguration, and the values looked for; sides of tiles.
_SUBFILE, _REDUCED = 254, 1
_PLANES, _SEPARATE = 284, 2
_TILE_WIDTH, _TILE_LENGTH = 322, 323


def check_directories(data: bytes, start: int, name: str, kind: str = "TIFF") -> None:
    """Refuses directories with more entries or values than any photo has, or with overlapping ones.

    Pillow creates Python objects for all of them, at up to 20 bytes and 0.2 microseconds per byte;
    before version 13 it also copies data that several entries share for each of them.

    Args:
        data: bytes with a TIFF header at ``start``.
        start: position of the header; offsets count from there.
        name: name of the photo in messages.
        kind: its format.

    Raises:
        ImageUnsupportedError: too many.
    """
    if not _HEADER.match(data, start):
        return
    little = data.startswith(b"I", start)
    order, big = "<" if little else ">", data[start + 2] == _BIG
    number, entry = (order + "Q", order + "HHQ8s") if big else (order + "H", order + "HHI4s")
    offsets = [_unpack(order + ("8xQ" if big else "4xI"), data, start)[0]]
    values = held = 0
    for index in range(_MOST_DIRECTORIES):
        if index == len(offsets):
            return
        place = start + offsets[index]
        (count,) = _unpack(number, data, place)
        if count > _MOST_ENTRIES:
            refuse_excess(name, kind, f"{count:,} entries in a directory")
        further: dict[int, int] = {}
        place += struct.calcsize(number)
        for k in range(count):
            tag, form, many, value = _unpack(entry, data, place + k * struct.calcsize(entry))
            if tag in _STRIPS and many > _MOST_STRIPS:
                refuse_excess(name, kind, f"{many:,} strips or tiles")
            values += 0 if form in _BYTES else many
            if values > _MOST_VALUES:
                refuse_excess(name, kind, f"more than {_MOST_VALUES:,} values of tags")
            size = many * _SIZES.get(form, 0)
            at = int.from_bytes(value, "little" if little else "big")
            held += size if size > len(value) and start + at + size <= len(data) else 0
            if held > len(data):
                refuse_excess(name, kind, "tags whose data overlap")
            if tag in _DIRECTORIES:
                value = value[: _WIDTH.get(form, len(value))]
                further.setdefault(tag, int.from_bytes(value, "little" if little else "big"))
        offsets += further.values()


def check_tiff(image: ImageFile.ImageFile, name: str) -> None:
    """Refuses an opened TIFF with missing tiles, or tiles much larger than the image.

    Raises:
        ImageTruncatedError: strips are missing.
        ImageUnsupportedError: too large tiles, or the thumbnail of a camera raw file.
    """
    tags = image.tag_v2  # type: ignore[attr-defined]
    subfile = tags.get(_SUBFILE, 0)
    if isinstance(subfile, int) and subfile & _REDUCED:
        raise ImageUnsupportedError(
            f"{name} is a camera raw file: its first image is a thumbnail",
            "develop it to JPEG or TIFF first",
        )
    pixels = image.width * image.height
    sides = [tags.get(tag, 0) for tag in (_TILE_WIDTH, _TILE_LENGTH)]
    if sides[0] * sides[1] > max(_LARGEST_TILE, 4 * pixels):
        refuse_excess(name, "TIFF", f"tiles of {sides[0]} x {sides[1]} pixels")
    # Pillow leaves pixels without a strip black.
    covered = sum(
        (x1 - x0) * (y1 - y0)
        for x0, y0, x1, y1 in (tile.extents or (0, 0, 0, 0) for tile in image.tile)
    )
    layers = len(image.getbands()) if tags.get(_PLANES) == _SEPARATE else 1
    if covered < pixels * layers:
        raise ImageTruncatedError(
            f"{name} is a TIFF that lacks strips", "copy or download the photo again"
        )


def _unpack(form: str, data: bytes, place: int) -> tuple[Any, ...]:
    """Like ``struct.unpack_from``; zeros beyond the end of the data."""
    size = struct.calcsize(form)
    return struct.unpack(form, data[place : place + size].ljust(size, b"\0"))
