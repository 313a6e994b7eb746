"""What the tests of the gallery in SQLite share."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from visavis.gallery.crypto.key import Key
from visavis.gallery.index.template_index import IndexOptions
from visavis.gallery.records import NewFace
from visavis.gallery.sqlite.opening import GalleryOptions
from visavis.gallery.sqlite.store import SqliteGallery

KEY, OTHER = Key(bytes(range(32))), Key(bytes(range(32, 64)))
MODEL = "a" * 64
EAGER = GalleryOptions(index=IndexOptions(), snapshot_from=1, timeout=5)
"""Snapshots from the first template on."""


def unit(count: int, length: int = 64, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, length)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


VECTORS = unit(60)


def new(person: str, vector: np.ndarray, **changes: Any) -> NewFace:
    return replace(NewFace(person, vector, "model", MODEL), **changes)


def crowd(store: SqliteGallery, count: int = 20) -> list[int]:
    """Person i has templates i and i + 20."""
    return store.add(
        [new(f"Person {i % 20:02}", VECTORS[i], photo=f"{i}.jpg") for i in range(2 * count)]
    )


def everything(store: SqliteGallery) -> list[Any]:
    return [
        [person.to_dict() for person in store.people()],
        [(f.to_dict(), f.vector.tobytes(), store.crop(f.id)) for f in store.faces()],
    ]


@contextmanager
def tampering(folder: Path) -> Iterator[sqlite3.Connection]:
    """The database as damage, or somebody with access to the file, changes it: no trigger runs."""
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as db:
        db.execute("PRAGMA foreign_keys = OFF")
        triggers = db.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
        ).fetchall()
        for name, _ in triggers:
            db.execute(f"DROP TRIGGER {name}")
        yield db
        current = db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'tally'").fetchone()
        for name, sql in triggers:
            if current or not name.startswith("tally"):
                db.execute(sql)
        db.commit()


def flipped(blob: bytes, at: int) -> bytes:
    changed = bytearray(blob)
    changed[at] ^= 1
    return bytes(changed)


def to_format(db: sqlite3.Connection, version: int) -> None:
    """Takes a gallery's database back to format 1 or 2."""
    db.execute("DROP TABLE tally")
    db.execute("ALTER TABLE state DROP COLUMN digest")
    if version < 2:
        db.execute("DROP INDEX audit_action")
    db.execute("DELETE FROM migration WHERE version > ?", (version,))
