"""Tables of a gallery, and how an older gallery becomes one of today."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from visavis.errors import GalleryError

APPLICATION_ID: Final = 0x76697361
"""In the file's header: this database is a visavis gallery."""

_FIRST: Final = (
    "CREATE TABLE migration (version INTEGER PRIMARY KEY, applied TEXT NOT NULL)",
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    # One row. clock: numbers given out, to faces, people and removals alike, so that one number
    # says how far an index has followed. floor: removals up to here are no longer listed.
    # generation: counts changes of the data key. erasing: bytes of something deleted may still be
    # in a file. audit_seal: proves the audit's head to who has the key.
    """CREATE TABLE state (
        id INTEGER PRIMARY KEY CHECK (id = 1), clock INTEGER NOT NULL, floor INTEGER NOT NULL,
        generation INTEGER NOT NULL, erasing INTEGER NOT NULL, audit_seal BLOB NOT NULL)""",
    "INSERT INTO state VALUES (1, 0, 0, 0, 0, x'')",
    """CREATE TABLE model (
        id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
        dimension INTEGER NOT NULL)""",
    "CREATE TABLE setting (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)",
    # Times are microseconds since 1970 UTC. name, attributes, body and png are sealed.
    """CREATE TABLE person (
        id INTEGER PRIMARY KEY, uid BLOB NOT NULL, name_tag BLOB NOT NULL UNIQUE,
        name BLOB NOT NULL, attributes BLOB NOT NULL, created INTEGER NOT NULL)""",
    """CREATE TABLE face (
        id INTEGER PRIMARY KEY, person INTEGER NOT NULL REFERENCES person (id),
        model INTEGER NOT NULL REFERENCES model (id),
        setting INTEGER NOT NULL REFERENCES setting (id), source_tag BLOB,
        created INTEGER NOT NULL, expires INTEGER, crop INTEGER NOT NULL, body BLOB NOT NULL)""",
    "CREATE INDEX face_of ON face (person, model, source_tag)",
    "CREATE INDEX face_expires ON face (expires) WHERE expires IS NOT NULL",
    "CREATE TABLE crop (face INTEGER PRIMARY KEY REFERENCES face (id), png BLOB NOT NULL)",
    "CREATE TABLE removal (seq INTEGER PRIMARY KEY, face INTEGER NOT NULL, model INTEGER NOT NULL)",
    # A merge or split gives faces to another person: from ``seq`` on, ``face`` is ``person``'s.
    """CREATE TABLE moved (
        seq INTEGER PRIMARY KEY, face INTEGER NOT NULL, model INTEGER NOT NULL,
        person INTEGER NOT NULL)""",
    "CREATE TABLE snapshot (model INTEGER PRIMARY KEY, file TEXT NOT NULL, state INTEGER NOT NULL)",
    """CREATE TABLE audit (
        seq INTEGER PRIMARY KEY, time TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL,
        details TEXT NOT NULL, hash BLOB NOT NULL)""",
    """CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END""",
    """CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END""",
)

FREQUENT: Final = ("enrol", "identify")
"""Frequent audit actions, which the index leaves out to stay small."""

INDEXED: Final = "action NOT IN ('enrol', 'identify')"
"""Condition that a query must contain literally, so that SQLite uses the index."""

_SECOND: Final = (f"CREATE INDEX audit_action ON audit (action) WHERE {INDEXED}",)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (_FIRST, _SECOND)
"""Statements that lead from version N to N + 1; never changed once released."""


def version_of(db: sqlite3.Connection, path: Path) -> int:
    """Schema version of an open database; 0: nothing is in it yet.

    Raises:
        GalleryError: it is some other database, or from a newer visavis.
    """
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if not tables:
        return 0
    (made_by,) = db.execute("PRAGMA application_id").fetchone()
    if made_by != APPLICATION_ID or "migration" not in tables:
        raise GalleryError(f"{path} is a database, but not a gallery", "name another folder")
    version = int(db.execute("SELECT max(version) FROM migration").fetchone()[0] or 0)
    if version > len(MIGRATIONS):
        raise GalleryError(
            f"the gallery {path} has format {version}, made by a newer visavis",
            f"install a newer visavis; this one reads formats up to {len(MIGRATIONS)}",
        )
    return version


def migrate(db: sqlite3.Connection, version: int, *, now: str) -> None:
    """Bring a database to the newest version. Call it inside a write transaction."""
    if version == 0:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for number, statements in enumerate(MIGRATIONS[version:], version + 1):
        for statement in statements:
            db.execute(statement)
        db.execute("INSERT INTO migration VALUES (?, ?)", (number, now))
