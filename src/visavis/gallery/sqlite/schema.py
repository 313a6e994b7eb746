"""Tables of a gallery's database, and how older ones are brought up to date."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, Final

from visavis.errors import GalleryError
from visavis.gallery.sqlite import tally

FREQUENT: Final = ("enrol", "identify")
"""Frequent audit actions; the index omits them to stay small."""

INDEXED: Final = "action NOT IN ('enrol', 'identify')"
"""Condition that a query must contain literally, so that SQLite uses the index."""

APPLICATION_ID: Final = 0x76697361
"""Marks a database as a visavis gallery, in the file's header."""

_FIRST: Final = (
    "CREATE TABLE migration (version INTEGER PRIMARY KEY, applied TEXT NOT NULL)",
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    # One row. clock: last number given to a face, person or removal, so that one number says how
    # far an index is up to date. floor: removals up to here are no longer listed. generation:
    # counts changes of the data key. erasing: deleted data may still be in a file. audit_seal:
    # encrypted head of the audit log.
    """CREATE TABLE state (
        id INTEGER PRIMARY KEY CHECK (id = 1), clock INTEGER NOT NULL, floor INTEGER NOT NULL,
        generation INTEGER NOT NULL, erasing INTEGER NOT NULL, audit_seal BLOB NOT NULL)""",
    "INSERT INTO state VALUES (1, 0, 0, 0, 0, x'')",
    """CREATE TABLE model (
        id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
        dimension INTEGER NOT NULL)""",
    "CREATE TABLE setting (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)",
    # Times are microseconds since 1970 UTC. name, attributes, body and png are encrypted.
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
    # A merge or split moves faces: from ``seq`` on, ``face`` belongs to ``person``.
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

_SECOND: Final = (f"CREATE INDEX audit_action ON audit (action) WHERE {INDEXED}",)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (_FIRST, _SECOND, tally.SCHEMA)
"""Statements that migrate from version N to N + 1; never changed once released."""


def version_of(db: sqlite3.Connection, path: Path) -> int:
    """Returns the schema version of an open database; 0: empty.

    Raises:
        GalleryError: another database, or one of a newer visavis.
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


def migrate(db: sqlite3.Connection, version: int, *, now: str, to: int = len(MIGRATIONS)) -> None:
    """Migrates a database to a version; call inside a write transaction."""
    if version == 0:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for number, statements in enumerate(MIGRATIONS[version:to], version + 1):
        for statement in statements:
            db.execute(statement)
        db.execute("INSERT INTO migration VALUES (?, ?)", (number, now))


def shape(db: sqlite3.Connection) -> list[tuple[Any, ...]]:
    """Returns names and statements of all tables, indexes and triggers, at most 100."""
    return db.execute(
        "SELECT type, name, tbl_name, CAST(sql AS BLOB) FROM sqlite_schema "
        "ORDER BY type, name LIMIT 100"
    ).fetchall()


@cache
def own_shape(version: int = len(MIGRATIONS)) -> list[tuple[Any, ...]]:
    """Returns ``shape`` of a gallery of a version."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        migrate(db, 0, now="", to=version)
        return shape(db)
