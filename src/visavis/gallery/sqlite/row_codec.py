"""Encrypts and decrypts rows of people and faces.

A face's vector, quality score and source are encrypted together in its ``body``; all other columns
are associated data. So a changed row, or a body moved to another row, cannot be decrypted.
"""

from __future__ import annotations

import sqlite3
import struct
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from visavis.errors import GalleryDamagedError
from visavis.gallery.crypto.value_cipher import ValueCipher
from visavis.gallery.names import without_name
from visavis.types import Vectors

FACE_COLUMNS: Final = "id, person, model, setting, source_tag, created, expires, crop, body"

_FACE_ABOUT = struct.Struct("<qqqqqq?")
_NEVER = -(2**63)
_BATCH = 500

T = TypeVar("T")
_QUALITY_SCORE = struct.Struct("<d")


@dataclass(frozen=True, slots=True, eq=False)
class OpenFace:
    """A decrypted row of ``face``."""

    id: int
    person: int
    model: int
    setting: int
    created: int
    expires: int | None
    has_crop: bool
    quality_score: float
    vector: Vectors
    source: str
    source_sha256: str


def face_body(quality_score: float, vector: bytes, source: str, source_sha256: str) -> bytes:
    """Returns the plain body of a face; ``vector`` is little-endian float32, texts have no NUL."""
    texts = source.encode() + b"\0" + source_sha256.encode()
    return _QUALITY_SCORE.pack(quality_score) + vector + texts


def face_about(row: Sequence[Any]) -> bytes:
    """Returns the associated data of a body; ``row`` as ``FACE_COLUMNS``, its body is ignored."""
    number, person, model, setting, source_tag, created, expires, crop, *_ = row
    when = _NEVER if expires is None else expires
    packed = _FACE_ABOUT.pack(number, person, model, setting, created, when, bool(crop))
    return packed + source_tag if source_tag else packed


def open_body(cipher: ValueCipher, row: Sequence[Any]) -> bytes:
    """Decrypts the body of a face.

    Raises:
        GalleryDamagedError: the row is damaged.
    """
    try:
        data = cipher.decrypt(row[8], face_about(row))
    except (struct.error, TypeError, ValueError):  # a value of another type
        data = None
    if data is None:
        raise GalleryDamagedError(
            f"face {row[0]} is not what was written",
            "restore the gallery from a backup, or erase the face: `remove_faces`",
        )
    return data


def source_sha256_of(body: bytes, dimension: int) -> str:
    """Returns the photo's hash in a body."""
    return body[_QUALITY_SCORE.size + 4 * dimension :].decode().partition("\0")[2]


def body_without_name(body: bytes, dimension: int, name: str) -> bytes:
    """Returns a body whose path of the photo no longer contains a person's name."""
    end = _QUALITY_SCORE.size + 4 * dimension
    source, _, sha256 = body[end:].decode().partition("\0")
    return body[:end] + without_name(source, name).encode() + b"\0" + sha256.encode()


def open_face(cipher: ValueCipher, row: Sequence[Any], dimension: int) -> OpenFace:
    """Decrypts a face; ``row`` as ``FACE_COLUMNS``.

    Raises:
        GalleryDamagedError: the row is damaged.
    """
    body = open_body(cipher, row)
    end = _QUALITY_SCORE.size + 4 * dimension
    source, _, sha256 = body[end:].decode().partition("\0")
    return OpenFace(
        id=row[0],
        person=row[1],
        model=row[2],
        setting=row[3],
        created=row[5],
        expires=row[6],
        has_crop=bool(row[7]),
        quality_score=_QUALITY_SCORE.unpack_from(body)[0],
        vector=np.frombuffer(body, "<f4", dimension, _QUALITY_SCORE.size).astype(np.float32),
        source=source,
        source_sha256=sha256,
    )


def open_vectors(
    cipher: ValueCipher, rows: Sequence[Sequence[Any]], dimension: int
) -> tuple[NDArray[np.float64], Vectors]:
    """Decrypts only quality scores ``(N,)`` and templates ``(N, D)``, which is faster.

    Raises:
        GalleryDamagedError: a row is damaged.
    """
    kind = np.dtype([("usability", "<f8"), ("vector", "<f4", (dimension,))])
    joined = b"".join([open_body(cipher, row)[: kind.itemsize] for row in rows])
    found = np.frombuffer(joined, kind)
    return found["usability"].astype(np.float64), found["vector"].astype(np.float32)


def about_person(number: int, uid: bytes, column: str) -> bytes:
    """Returns the associated data of a person's name or attributes."""
    return f"{column} {number} ".encode() + uid


def about_crop(face: int) -> bytes:
    """Returns the associated data of a stored crop."""
    return b"crop %d" % face


def open_text(cipher: ValueCipher, number: int, uid: bytes, column: str, blob: bytes) -> str:
    """Decrypts a person's name or attributes.

    Raises:
        GalleryDamagedError: the value is damaged.
    """
    data = cipher.decrypt(blob, about_person(number, uid, column))
    if data is None:
        raise GalleryDamagedError(
            f"the {column} of person {written_uid(uid)} is not what was written",
            "restore the gallery from a backup",
        )
    return data.decode()


def written_uid(uid: bytes) -> str:
    """Returns a person's opaque id in its public form."""
    return str(uuid.UUID(bytes=uid))


def read_uid(text: str) -> bytes:
    """The inverse of ``written_uid``; empty, which is nobody's, for any other text."""
    try:
        return uuid.UUID(text).bytes
    except ValueError:
        return b""


def batches(values: Sequence[T]) -> Iterator[tuple[str, tuple[T, ...]]]:
    """Yields placeholders and values in batches."""
    for start in range(0, len(values), _BATCH):
        part = tuple(values[start : start + _BATCH])
        yield ",".join("?" * len(part)), part


def person_names(
    db: sqlite3.Connection, cipher: ValueCipher, numbers: Sequence[int]
) -> dict[int, tuple[str, str]]:
    """Returns name and opaque id of people by row number.

    Raises:
        GalleryDamagedError: a name is damaged, or a person missing.
    """
    marks = ",".join("?" * len(numbers))
    rows = db.execute(f"SELECT id, uid, name FROM person WHERE id IN ({marks})", tuple(numbers))
    names = {
        number: (open_text(cipher, number, uid, "name", name), written_uid(uid))
        for number, uid, name in rows
    }
    if missing := set(numbers) - set(names):
        raise GalleryDamagedError(
            f"person {min(missing)} is missing, who has templates",
            "restore the gallery from a backup",
        )
    return names
