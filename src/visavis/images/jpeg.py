"""JPEG files: structures that would take time out of proportion."""

from __future__ import annotations

import re
from typing import Final

from visavis.images.limits import check_exif, refuse_excess

_MOST_SCANS: Final = 100
_MOST_SEGMENTS: Final = 4096  # 100 MB are 1,526 segments of the greatest length
_MOST_TABLES: Final = 1_000_000
_MOST_FILL: Final = 1 << 16
_EOI, _SOS, _APP0, _APP1, _APP15, _COMMENT = 0xD9, 0xDA, 0xE0, 0xE1, 0xEF, 0xFE
# Neither of these can match at more than one length: their time is linear, whatever the bytes.
_MARKER: Final = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)
_END_OF_CODED_DATA: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_BARE: Final = frozenset((0x01, *range(0xD0, 0xDA)))  # markers without a length


def check_structure(data: bytes, name: str) -> None:
    """Refuse what would take libjpeg or Pillow time out of proportion to the picture.

    Raises:
        ImageUnsupportedError: more scans, segments, tables, EXIF data or fill bytes than any photo
            has. libjpeg goes through the whole picture for each scan and through a run of fill
            bytes again for each block that Pillow reads; Pillow copies all EXIF data for each
            further segment of them.
    """
    place, tables, exif, scans = 2, 0, 0, 0
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.search(data, place)
        if found is None:
            return
        marker, place = data[found.end() - 1], found.end()
        if marker == _EOI:
            return
        if marker in _BARE and marker != _SOS:
            continue
        length = int.from_bytes(data[place : place + 2], "big")
        if marker == _APP1 and data.startswith(b"Exif\0\0", place + 2):
            exif += length
            check_exif(exif, name)
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
    refuse_excess(name, "JPEG", f"more than {_MOST_SEGMENTS:,} segments")
