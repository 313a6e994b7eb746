"""Makes a gallery's folder and tables, brings older ones up to date, and opens them."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from visavis.errors import GalleryError, OptionError
from visavis.gallery import timestamps
from visavis.gallery.crypto.key import Key
from visavis.gallery.crypto.keyring import SCRYPT_COST, open_keyring, plain_keyring, wrapped_keyring
from visavis.gallery.crypto.value_cipher import AesCipher, PlainCipher
from visavis.gallery.index.template_index import IndexOptions
from visavis.gallery.sqlite import audit
from visavis.gallery.sqlite.audit import INDEXED
from visavis.gallery.sqlite.database import Database, is_busy, translate_errors
from visavis.types import Record


@dataclass(frozen=True, slots=True)
class GalleryOptions(Record):
    """Options of ``SqliteGallery``.

    Attributes:
        index: options of the search.
        timeout: seconds to wait for other processes before ``GalleryBusyError``.
        snapshot_from: smallest number of templates for which the index is saved; building a
            smaller one takes no noticeable time.
        scrypt_cost: N of scrypt for a new passphrase, a power of 2.

    Raises:
        OptionError: a value outside its range.
    """

    index: IndexOptions = field(default_factory=IndexOptions)
    timeout: float = 60.0
    snapshot_from: int = 20_000
    scrypt_cost: int = SCRYPT_COST

    def __post_init__(self) -> None:
        if not self.timeout > 0:
            raise OptionError(f"timeout {self.timeout}", "give seconds above 0")
        if self.snapshot_from < 1:
            raise OptionError(f"snapshot_from {self.snapshot_from}", "give 1 or more")
        if not 2 <= self.scrypt_cost <= 2**20 or self.scrypt_cost & (self.scrypt_cost - 1):
            raise OptionError(
                f"scrypt_cost {self.scrypt_cost}", "give a power of 2 from 2 to 1,048,576"
            )


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

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (_FIRST, _SECOND)
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


def migrate(db: sqlite3.Connection, version: int, *, now: str) -> None:
    """Migrates a database to the newest version; call inside a write transaction."""
    if version == 0:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for number, statements in enumerate(MIGRATIONS[version:], version + 1):
        for statement in statements:
            db.execute(statement)
        db.execute("INSERT INTO migration VALUES (?, ?)", (number, now))


DATABASE = "gallery.sqlite"
INDEX = "index"


def opened(
    path: Path, *, create: bool, key: Key | None, timeout: float, scrypt_cost: int
) -> tuple[Database, PlainCipher | AesCipher]:
    """Returns an open database and its cipher.

    Raises:
        GalleryError: no gallery, or one of a newer visavis.
        GalleryKeyError: the key is missing, wrong, or not needed.
        GalleryDamagedError: the database is damaged.
    """
    file = path / DATABASE
    with translate_errors(path):
        there = file.is_file() and file.stat().st_size > 0
        if not there and not create:
            raise GalleryError(f"there is no gallery at {path}", "enroll somebody to make one")
        if not there:
            _make_folder(path)
        (path / INDEX).mkdir(mode=0o700, exist_ok=True)
    database = Database(file, folder=path, timeout=timeout)
    try:
        _bring_up_to_date(database, create=create, key=key, timeout=timeout, cost=scrypt_cost)
        with database.reading() as (db, state):
            cipher = open_cipher(db, key, path)
            database.generation = state.generation
        return database, cipher
    except BaseException:
        database.close()
        raise


def _make_folder(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise OptionError(f"{path} is a file", "a gallery is a folder")
    if path.is_dir():
        foreign = [p.name for p in path.iterdir() if p.name not in {DATABASE, INDEX, ".lock"}
                   and not p.name.startswith(f"{DATABASE}-")]  # fmt: skip
        if foreign:
            raise GalleryError(
                f"the folder {path} holds other files ({foreign[0]})",
                "name an empty folder or a new one",
            )
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path / DATABASE, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _bring_up_to_date(
    database: Database, *, create: bool, key: Key | None, timeout: float, cost: int
) -> None:
    with database.alone() as db:
        version = version_of(db, database.folder)
        if version == len(MIGRATIONS):
            return
        if version == 0 and not create:
            raise GalleryError(
                f"there is no gallery at {database.folder}", "enroll somebody to make one"
            )
        with _immediate(db, timeout=timeout):
            version = version_of(db, database.folder)
            migrate(db, version, now=timestamps.written(timestamps.now()))
            if version == 0:
                text, cipher = plain_keyring() if key is None else wrapped_keyring(key, cost=cost)
                db.execute("INSERT INTO meta VALUES ('keyring', ?)", (text,))
                created = audit.Event("create", "", {"encrypted": key is not None})
                audit.append(db, cipher, [created])


@contextlib.contextmanager
def _immediate(db: sqlite3.Connection, *, timeout: float) -> Iterator[None]:
    end = time.monotonic() + timeout
    while True:
        try:
            db.execute("BEGIN IMMEDIATE")
            break
        except sqlite3.Error as error:
            if not is_busy(error) or time.monotonic() > end:
                raise
            time.sleep(0.02)
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def open_cipher(db: sqlite3.Connection, key: Key | None, path: Path) -> PlainCipher | AesCipher:
    """Returns the gallery's current cipher."""
    row = db.execute("SELECT value FROM meta WHERE key = 'keyring'").fetchone()
    return open_keyring(row[0] if row else json.dumps(None), key, where=f"the gallery {path}")
