"""Saves an index to a file: a header, the columns in blocks of rows, and the fast scan.

The file is a sequence of chunks, each preceded by its length (4 bytes). The gallery's cipher
encrypts or checksums them; file name, a nonce and the position are associated data. So changed,
missing, moved or foreign chunks are detected. The header says how much follows.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from visavis.errors import GalleryDamagedError
from visavis.gallery.crypto.value_cipher import ValueCipher
from visavis.gallery.index.columns import TemplateColumns
from visavis.gallery.index.fast_scan import FastScan, Tuning
from visavis.writing import replacing

CHUNK: Final = 8 << 20
_KINDS: Final = ("<i8", "<i8", "<f8", "<f4")


class Header(msgspec.Struct, frozen=True):
    """Header of a snapshot.

    Attributes:
        dimension: dimension of a template.
        count: number of rows.
        state: position given by the caller.
        nonce: random value of this file.
        scan: size of the fast scan in bytes; 0: none.
        recall: recall that the scan was tuned for.
        tuning: result of the tuning.
    """

    dimension: int
    count: int
    state: int
    nonce: str
    scan: int = 0
    recall: float = 0.0
    tuning: Tuning | None = None


def save(
    path: Path, columns: TemplateColumns, *, state: int, cipher: ValueCipher,
    scan: FastScan | None, tuning: Tuning | None, recall: float,
) -> None:  # fmt: skip
    """Writes a snapshot atomically and syncs it to disk."""
    codes = memoryview(b"") if scan is None else scan.to_bytes()
    dimension = columns.vectors.shape[1]
    nonce = secrets.token_hex(16)
    header = Header(dimension, len(columns), state, nonce, len(codes), recall, tuning)
    with replacing(path, private=True, durable=True) as partial, partial.open("wb") as file:
        chunks = _Chunks(file, path, cipher)
        chunks.write(msgspec.json.encode(header))
        chunks.nonce = nonce
        parts: tuple[NDArray[Any], ...] = (
            columns.ids, columns.people, columns.quality_score, columns.vectors,
        )  # fmt: skip
        for start in range(0, len(columns), _rows(dimension)):
            for part, kind in zip(parts, _KINDS, strict=True):
                chunks.write(part[start : start + _rows(dimension)].astype(kind, copy=False).data)
        for start in range(0, len(codes), CHUNK):
            chunks.write(codes[start : start + CHUNK])


def load(path: Path, cipher: ValueCipher) -> tuple[Header, TemplateColumns, FastScan | None]:
    """Reads a snapshot.

    Raises:
        GalleryDamagedError: damaged, written with another key, or of another version.
        FileNotFoundError: the file does not exist.
    """
    with path.open("rb") as file:
        chunks = _Chunks(file, path, cipher)
        try:
            header = msgspec.json.decode(chunks.read(), type=Header)
            chunks.nonce = header.nonce
            room = path.stat().st_size // (4 * header.dimension)  # a header may say anything
            columns = TemplateColumns(header.dimension, reserve=min(header.count, room))
            for start in range(0, header.count, _rows(header.dimension)):
                columns.append(*_block(chunks, header, start))
            codes = b"".join([chunks.read() for _ in range(0, header.scan, CHUNK)])
            scan = FastScan.of_bytes(codes) if codes else None
            if file.read(1) or (scan is not None and scan.size != (header.count, header.dimension)):
                raise ValueError("too long")
        except (ValueError, TypeError, RuntimeError) as error:  # msgspec's errors are ValueErrors
            raise GalleryDamagedError(
                f"{path} is not an index of this version", "delete it: it is made again"
            ) from error
    return header, columns, scan


def _block(chunks: _Chunks, header: Header, start: int) -> list[NDArray[Any]]:
    rows = min(header.count - start, _rows(header.dimension))
    block = [np.frombuffer(chunks.read(), kind) for kind in _KINDS]
    block[3] = block[3].reshape(rows, header.dimension)
    if any(len(part) != rows for part in block):
        raise ValueError(rows)
    return block


def _rows(dimension: int) -> int:
    return max(CHUNK // (8 * max(dimension, 1)), 1)


class _Chunks:
    """Reads or writes the chunks of one file, from its start."""

    def __init__(self, file: BinaryIO, path: Path, cipher: ValueCipher) -> None:
        self._file, self._path, self._cipher, self._place = file, path, cipher, 0
        self.nonce = ""

    def write(self, data: bytes | memoryview) -> None:
        blob = self._cipher.encrypt(bytes(data), self._about())
        self._file.write(len(blob).to_bytes(4, "little"))
        self._file.write(blob)

    def read(self) -> bytes:
        length = int.from_bytes(self._file.read(4), "little")
        blob = self._file.read(min(length, 2 * CHUNK))
        data = self._cipher.decrypt(blob, self._about())
        if data is None:
            raise GalleryDamagedError(
                f"{self._path} is not what was written", "delete it: it is made again"
            )
        return data

    def _about(self) -> bytes:
        self._place += 1
        return f"index {self._path.name} {self.nonce} {self._place}".encode()
