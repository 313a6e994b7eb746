"""insightface's training sets: aligned crops in one MXNet record file.

A folder with ``train.rec``, ``train.idx`` and ``property``. A record is a magic number, a word
with three bits of continuation flag and 29 bits of length, and that many bytes, padded to a
multiple of four. Bytes that hold the magic number themselves are cut there into several records.
The content is a header (flag, label, id, id2), ``flag`` further float labels, and a JPEG.

In insightface's sets the first record says where images end and where identities, which carry no
image, begin; other writers put images only.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from visavis.errors import DataError, ImageTruncatedError
from visavis.reading import open_regular
from visavis.training.data.sources import Photo

_MAGIC: Final = 0xCED7230A
_MOST_LABELS: Final = 2**31
_RECORD: Final = struct.Struct("<II")
_HEADER: Final = struct.Struct("<IfQQ")
_WHOLE, _LAST = 0, 3  # continuation flags; 1 begins and 2 goes on with a record in pieces


@dataclass(frozen=True, slots=True)
class RecordPhoto(Photo):
    """A crop in a record file; ``offset`` is where its record begins."""

    def read(self) -> bytes:
        """The encoded crop.

        Raises:
            ImageError: the file cannot be read, or holds no whole record there.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                content = _content(file)
        except OSError as error:
            raise ImageTruncatedError(
                f"{self.name}: {self.path} cannot be read ({error.strerror or error})",
                "check the file",
            ) from error
        if content is None or len(content) < _HEADER.size:
            raise ImageTruncatedError(
                f"{self.name}: no whole record at byte {self.offset} of {self.path}",
                "copy or download the file again",
            )
        flag = _HEADER.unpack_from(content)[0]
        return content[_HEADER.size + 4 * flag :]


def read(place: Path) -> tuple[RecordPhoto, ...]:
    """Crops of a ``.rec`` file, their labels as people.

    Args:
        place: the ``.rec`` file, or the folder that holds ``train.rec``. The ``.idx`` file beside
            it is used if there is one; without, the file is walked through.

    Raises:
        DataError: no such file, not of this format, or no images in it.
    """
    path = place / "train.rec" if place.is_dir() else place
    index = path.with_suffix(".idx")
    photos: list[RecordPhoto] = []
    try:
        with open_regular(path) as file, _mapped(path, file) as content:
            offsets = _listed(index) if index.is_file() else _walked(path, content)
            images: range | None = None
            for position, (key, offset) in enumerate(offsets):
                flag, label = _label(path, content, key, offset)
                if position == 0 and flag:
                    # The first record of insightface's sets: images are keys 1 .. label - 1.
                    images = range(1, int(label))
                elif images is None or key in images:
                    person = f"{int(label):07d}"
                    photos.append(RecordPhoto(person, f"{person}/{key}", path, offset))
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error})",
            "give a .rec file, or the folder that holds train.rec and train.idx",
        ) from error
    if not photos:
        raise DataError(f"{path}: no images", "give a training set of insightface's")
    return tuple(photos)


def _mapped(path: Path, file: BinaryIO) -> mmap.mmap:
    try:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError as error:
        raise DataError(f"{path}: an empty file", "copy or download it again") from error


def _listed(index: Path) -> Iterator[tuple[int, int]]:
    """Keys and offsets of an ``.idx`` file, in the order of keys."""
    rows = []
    for number, line in enumerate(index.read_text("ascii", "replace").splitlines(), start=1):
        match line.split():
            case [key, offset] if _whole(key) and _whole(offset):
                rows.append((int(key), int(offset)))
            case []:
                continue
            case _:
                raise DataError(f"{index}, line {number}: {line!r}", "it takes a key and an offset")
    return iter(sorted(rows))


def _whole(text: str) -> bool:
    return text.isdecimal() and len(text) < 19


def _walked(path: Path, content: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Record numbers and offsets of a file without index."""
    offset = key = 0
    while offset < len(content):
        flag, length = _record(path, content, offset)
        if flag in (_WHOLE, 1):
            yield key, offset
            key += 1
        offset += _RECORD.size + -(-length // 4) * 4


def _record(path: Path, content: mmap.mmap, offset: int) -> tuple[int, int]:
    if offset + _RECORD.size > len(content):
        raise DataError(f"{path}: ends before byte {offset}", "copy or download it again")
    magic, word = _RECORD.unpack_from(content, offset)
    if magic != _MAGIC:
        raise DataError(f"{path}: no record at byte {offset}", "give a .rec file and its own .idx")
    return word >> 29, word & (1 << 29) - 1


def _label(path: Path, content: mmap.mmap, key: int, offset: int) -> tuple[int, float]:
    """Flag and label of a record; with a flag the label is the first of the labels behind it."""
    _record(path, content, offset)
    start = offset + _RECORD.size
    try:
        flag, label, _, _ = _HEADER.unpack_from(content, start)
        if flag:
            label = struct.unpack_from("<f", content, start + _HEADER.size)[0]
    except struct.error as error:
        raise DataError(
            f"{path}: record {key} is cut off", "copy or download the file again"
        ) from error
    if not 0 <= label < _MOST_LABELS:  # nor NaN
        raise DataError(f"{path}: record {key} has the label {label:g}", "number people from 0")
    return flag, label


def _content(file: BinaryIO) -> bytes | None:
    """Bytes of the record that begins here; ``None`` where it is not whole."""
    pieces = []
    while True:
        head = file.read(_RECORD.size)
        if len(head) < _RECORD.size:
            return None
        magic, word = _RECORD.unpack(head)
        flag, length = word >> 29, word & (1 << 29) - 1
        piece = file.read(length)
        if magic != _MAGIC or len(piece) < length:
            return None
        pieces.append(piece)
        if flag in (_WHOLE, _LAST):
            return struct.pack("<I", _MAGIC).join(pieces)
        file.seek(-length % 4, 1)
