"""Makes a gallery's folder, brings older galleries up to date, and opens them."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from visavis.errors import GalleryDamagedError, GalleryError, GalleryKeyError, OptionError
from visavis.gallery import timestamps
from visavis.gallery.crypto.key import Key
from visavis.gallery.crypto.keyring import SCRYPT_COST, open_keyring, plain_keyring, wrapped_keyring
from visavis.gallery.crypto.value_cipher import AesCipher, PlainCipher
from visavis.gallery.index.template_index import IndexOptions
from visavis.gallery.sqlite import audit, tally
from visavis.gallery.sqlite.database import Database, damaged, is_busy, translate_errors
from visavis.gallery.sqlite.schema import MIGRATIONS, migrate, version_of
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
        with contextlib.suppress(OSError):  # read-only: no snapshot is written
            (path / INDEX).mkdir(mode=0o700, exist_ok=True)
    database = Database(file, folder=path, timeout=timeout)
    try:
        _bring_up_to_date(database, create=create, key=key, timeout=timeout, cost=scrypt_cost)
        with database.lenient(), database.reading() as (db, state):  # the first use checks it
            try:
                cipher = open_cipher(db, key, path)
            except (GalleryKeyError, GalleryDamagedError) as error:
                if tally.sealed(db):
                    raise
                raise damaged(path, "its keyring is not what was written") from error
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
        if database.read_only:
            raise GalleryError(
                f"the gallery {database.folder} has format {version} and is read-only",
                "open it once where it may be written: that brings it up to date",
            )
        with _immediate(db, timeout=timeout):
            version = version_of(db, database.folder)
            migrate(db, version, now=timestamps.written(timestamps.now()))
            if version == 0:
                text, cipher = plain_keyring() if key is None else wrapped_keyring(key, cost=cost)
                db.execute("INSERT INTO meta VALUES ('keyring', ?)", (text,))
                created = audit.Event("create", "", {"encrypted": key is not None})
                audit.append(db, cipher, [created])
            tally.seal(db)


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
