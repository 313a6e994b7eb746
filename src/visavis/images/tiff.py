"""Checks TIFF directories, in TIFF files and EXIF data, before Pillow reads them."""

from __future__ import annotations

import re
import struct
from typing import Any, Final

from PIL import ImageFile

from visavis.errors import ImageTruncatedError, ImageUnsupportedError
from visavis.images.limits import refuse_excess

_HEADER: Final = re.compile(rb"II[*+]\x00|MM\x00[*+]|MM\*\x00|II\x00\*")
_BIG: Final = 43  # third byte of the header
_MOST_ENTRIES: Final = 4096
_MOST_STRIPS: Final = 1 << 16
_MOST_VALUES: Final = 1 << 18  # of all tags together
_BYTES: Final = frozenset((1, 2, 7))  # types that Pillow does not convert
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
    """Refuses directories with more entries or values than any photo has.

    Pillow creates Python objects for all of them, at up to 20 bytes and 0.2 microseconds per byte.

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
    values = 0
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
            if tag in _DIRECTORIES:
                value = value[: _WIDTH.get(form, len(value))]
                further.setdefault(tag, int.from_bytes(value, "little" if little else "big"))
        offsets += further.values()


def check_image(image: ImageFile.ImageFile, name: str) -> None:
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
