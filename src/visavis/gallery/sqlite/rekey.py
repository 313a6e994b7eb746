"""Another key for a gallery, in one transaction: killed at any moment, the old or the new one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from visavis.gallery.crypto.value_cipher import ValueCipher
from visavis.gallery.sqlite import audit
from visavis.gallery.sqlite.read import crop_of
from visavis.gallery.sqlite.row_codec import (
    FACE_COLUMNS,
    about_crop,
    about_person,
    face_about,
    open_body,
    open_text,
    source_sha256_of,
)
from visavis.gallery.sqlite.write import source_tag

_BATCH = 2000


def reseal_everything(db: sqlite3.Connection, old: ValueCipher, new: ValueCipher) -> None:
    """Seal every value anew; call it inside a write transaction.

    Raises:
        GalleryDamagedError: a value is not what was written.
    """
    dimensions = dict(db.execute("SELECT id, dimension FROM model").fetchall())
    for rows in _batches(db, "SELECT id, uid, name, attributes FROM person"):
        db.executemany(
            "UPDATE person SET name_tag = ?, name = ?, attributes = ? WHERE id = ?",
            [_person(old, new, row) for row in rows],
        )
    for rows in _batches(db, f"SELECT {FACE_COLUMNS} FROM face"):
        db.executemany(
            "UPDATE face SET source_tag = ?, body = ? WHERE id = ?",
            [_face(old, new, row, dimensions[row[2]]) for row in rows],
        )
    for rows in _batches(db, "SELECT face FROM crop", key="face"):
        db.executemany(
            "UPDATE crop SET png = ? WHERE face = ?",
            [(new.encrypt(crop_of(db, old, n) or b"", about_crop(n)), n) for (n,) in rows],
        )
    audit.reseal(db, new)


def reseal_faces(
    db: sqlite3.Connection, cipher: ValueCipher, rows: list[tuple[Any, ...]], *, person: int
) -> None:
    """Give faces (rows as ``FACE_COLUMNS``) to another person."""
    changed = []
    for row in rows:
        moved = (row[0], person, *row[2:])
        changed.append((person, cipher.encrypt(open_body(cipher, row), face_about(moved)), row[0]))
    db.executemany("UPDATE face SET person = ?, body = ? WHERE id = ?", changed)


def _batches(
    db: sqlite3.Connection, select: str, *, key: str = "id"
) -> Iterator[list[tuple[Any, ...]]]:
    after = 0
    while rows := db.execute(
        f"{select} WHERE {key} > ? ORDER BY {key} LIMIT ?", (after, _BATCH)
    ).fetchall():
        after = rows[-1][0]
        yield rows


def _person(
    old: ValueCipher, new: ValueCipher, row: tuple[Any, ...]
) -> tuple[bytes, bytes, bytes, int]:
    number, uid, name, attributes = row
    plain = open_text(old, number, uid, "name", name)
    kept = open_text(old, number, uid, "attributes", attributes)
    return (
        new.blind(b"name", plain),
        new.encrypt(plain.encode(), about_person(number, uid, "name")),
        new.encrypt(kept.encode(), about_person(number, uid, "attributes")),
        number,
    )


def _face(
    old: ValueCipher, new: ValueCipher, row: tuple[Any, ...], dimension: int
) -> tuple[bytes | None, bytes, int]:
    body = open_body(old, row)
    tag = source_tag(new, source_sha256_of(body, dimension))
    about = face_about((*row[:4], tag, *row[5:8]))
    return tag, new.encrypt(body, about), row[0]
