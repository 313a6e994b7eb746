"""Bytes of a pack file.

::

    0     magic, 16 bytes
    16    where the index begins, its length (two uint64, little-endian)
    32    SHA-256 of the index
    64    CRC-32 of the 64 bytes before (uint32)
    4096  N crops, S x S x 3 bytes each, one after the other, no padding
    ...   the index: zlib-compressed JSON, to the end of the file

Crops begin at a page's border, so that the file can be mapped into memory as it is. The index
carries a digest of every crop: whatever bit of the file flips, some checksum no longer fits.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from visavis.errors import DataError
from visavis.reading import open_regular

MAGIC: Final = b"VISAVIS PACK 01\n"
START: Final = 4096
"""Offset of the first crop."""
_HEAD: Final = struct.Struct("<16sQQ32s")
_CRC: Final = struct.Struct("<I")
REMEDY: Final = "pack the photos again with `visavis data pack --anew`"


def digest(crop: bytes | memoryview) -> str:
    """32 hexadecimal digits that stand for a crop's pixels: half a SHA-256."""
    return hashlib.sha256(crop).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Index:
    """What a pack says about its crops; attributes as in ``pack.Pack``, digests one a crop."""

    size: int
    scale: float
    labels: list[int]
    people: list[str]
    names: list[str]
    sources: list[str]
    digests: list[str]
    left_out: list[list[str]]
    origin: str
    request: str

    @property
    def crop_bytes(self) -> int:
        """Bytes of one crop."""
        return self.size * self.size * 3

    def fingerprint(self) -> str:
        """SHA-256 over geometry, crops, labels and names: the same data, the same fingerprint."""
        content = [self.size, self.scale, self.labels, self.people, self.names, self.digests]
        return hashlib.sha256(_json(content)).hexdigest()


def finish(file: BinaryIO, index: Index) -> None:
    """Write index and header around crops that stand in ``file`` from ``START`` on."""
    fields = {name: getattr(index, name) for name in Index.__slots__}
    body = zlib.compress(_json(fields), 6)
    at = START + len(index.digests) * index.crop_bytes
    file.truncate(at)
    file.seek(at)
    file.write(body)
    head = _HEAD.pack(MAGIC, at, len(body), hashlib.sha256(body).digest())
    file.seek(0)
    file.write(head + _CRC.pack(zlib.crc32(head)))
    file.flush()


def read_index(path: Path) -> Index:
    """The index of a finished pack.

    Raises:
        DataError: no file, not a pack, cut off, or damaged outside the crops.
    """
    try:
        with open_regular(path) as file:
            head = file.read(_HEAD.size + _CRC.size)
            at, length, sha256 = _read_head(path, head)
            end = file.seek(0, 2)
            if end != at + length:
                raise DataError(f"{path}: {end} bytes where {at + length} were written", REMEDY)
            file.seek(at)
            body = file.read(length)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error})",
            "give a file that `visavis data pack` made",
        ) from error
    if hashlib.sha256(body).digest() != sha256:
        raise DataError(f"{path}: its index is damaged (SHA-256 differs)", REMEDY)
    index = _decode(path, body)
    if at != START + len(index.digests) * index.crop_bytes:
        raise DataError(f"{path}: its index does not fit its crops", REMEDY)
    return index


def _read_head(path: Path, head: bytes) -> tuple[int, int, bytes]:
    if head[:12] != MAGIC[:12]:
        raise DataError(f"{path}: not a pack", "give a file that `visavis data pack` made")
    if len(head) < _HEAD.size + _CRC.size:
        raise DataError(f"{path}: a pack cut off after {len(head)} bytes", REMEDY)
    if _CRC.unpack_from(head, _HEAD.size)[0] != zlib.crc32(head[: _HEAD.size]):
        raise DataError(f"{path}: its header is damaged (CRC-32 differs)", REMEDY)
    magic, at, length, sha256 = _HEAD.unpack_from(head)
    if magic != MAGIC:
        version = magic[13:15].decode("ascii", "replace")
        raise DataError(f"{path}: a pack of version {version}", "upgrade visavis to read it")
    return at, length, sha256


def _decode(path: Path, body: bytes) -> Index:
    # The hash fits, so this is what a writer wrote: another version of us, at worst.
    try:
        fields: dict[str, Any] = json.loads(zlib.decompress(body))
        return Index(**fields)
    except (ValueError, TypeError, zlib.error) as error:
        raise DataError(f"{path}: its index cannot be read ({error})", REMEDY) from error


def _json(value: Any) -> bytes:
    # File names that are not UTF-8 come as lone surrogates, which \uXXXX escapes carry.
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode("ascii")
