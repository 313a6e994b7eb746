"""Deleting faces and people, and what is needed to see afterwards that nothing of them is left."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from visavis.gallery.crypto.value_cipher import ValueCipher
from visavis.gallery.sqlite.database import State
from visavis.gallery.sqlite.row_codec import vector_and_texts

T = TypeVar("T")

_BATCH = 500
_CHECKSUM = 16
_TELLING_SOURCE = 8  # shorter ones, such as 1.jpg, say nothing and are everywhere
_PNG_START, _PNG_END = 64, 32
_TELLING = _CHECKSUM + 4  # shorter texts are looked for together with their checksum


@dataclass(slots=True)
class Deletion:
    """What a transaction deleted.

    Attributes:
        faces: how many faces.
        blobs: bytes as they lay in the file that nothing else in it is like.
        texts: pieces of text.
    """

    faces: int = 0
    blobs: list[bytes] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)


def batches(values: Sequence[T]) -> Iterator[tuple[str, tuple[T, ...]]]:
    """Values in parts with the placeholders for each."""
    for start in range(0, len(values), _BATCH):
        part = tuple(values[start : start + _BATCH])
        yield ",".join("?" * len(part)), part


def delete_faces(
    db: sqlite3.Connection,
    cipher: ValueCipher,
    state: State,
    numbers: Sequence[int],
    deleted: Deletion,
) -> dict[int, int]:
    """Delete faces that are there; returns how many of each person (by row number)."""
    clock = state.clock
    owners: dict[int, int] = {}
    dimensions = dict(db.execute("SELECT id, dimension FROM model").fetchall())
    for marks, part in batches(sorted(set(numbers))):
        rows = db.execute(
            f"SELECT id, person, model, CAST(body AS BLOB) FROM face WHERE id IN ({marks}) "
            "ORDER BY id",
            part,
        ).fetchall()
        crops = db.execute(
            f"SELECT CAST(png AS BLOB) FROM crop WHERE face IN ({marks})", part
        ).fetchall()
        db.execute(f"DELETE FROM crop WHERE face IN ({marks})", part)
        db.execute(f"DELETE FROM face WHERE id IN ({marks})", part)
        db.executemany(
            "INSERT INTO removal VALUES (?, ?, ?)",
            [(seq, row[0], row[2]) for seq, row in enumerate(rows, clock + 1)],
        )
        clock += len(rows)
        for _, person, model, body in rows:
            owners[person] = owners.get(person, 0) + 1
            _look_for_body(body, dimensions.get(model, 0), cipher, deleted)
        for (png,) in crops:
            # All pictures begin and end alike.
            deleted.blobs.append(png if cipher.encrypted else png[_PNG_START:-_PNG_END])
        deleted.faces += len(rows)
    db.execute("UPDATE state SET clock = ?", (clock,))
    return owners


def _look_for_body(body: bytes, dimension: int, cipher: ValueCipher, deleted: Deletion) -> None:
    if cipher.encrypted:
        deleted.blobs.append(body)
        return
    vector, texts = vector_and_texts(body, dimension)
    source, _, sha256 = texts[:-_CHECKSUM].partition(b"\0")
    deleted.blobs += [vector, sha256]
    if len(source) >= _TELLING_SOURCE:
        deleted.texts.append(source)


def delete_person(db: sqlite3.Connection, number: int, deleted: Deletion) -> None:
    """Delete a person who has no faces any more."""
    name, attributes = db.execute(
        "SELECT CAST(name AS BLOB), CAST(attributes AS BLOB) FROM person WHERE id = ?", (number,)
    ).fetchone()
    forget(name, attributes, deleted=deleted)
    db.execute("DELETE FROM person WHERE id = ?", (number,))


def forget(*blobs: bytes, deleted: Deletion) -> None:
    """Look for these sealed values of a person later, and for the plain text within them."""
    deleted.texts.extend(blob[:-_CHECKSUM] if len(blob) >= _TELLING else blob for blob in blobs)
