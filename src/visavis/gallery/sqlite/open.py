"""Making a gallery's folder and opening it."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from visavis.errors import GalleryError, OptionError
from visavis.gallery import timestamps
from visavis.gallery.crypto.key import Key
from visavis.gallery.crypto.keyring import open_keyring, plain_keyring, wrapped_keyring
from visavis.gallery.crypto.value_cipher import AesCipher, PlainCipher
from visavis.gallery.sqlite import audit, schema
from visavis.gallery.sqlite.database import Database
from visavis.gallery.sqlite.failures import is_busy, translate_errors

DATABASE = "gallery.sqlite"
INDEX = "index"


def opened(
    path: Path, *, create: bool, key: Key | None, timeout: float, scrypt_cost: int
) -> tuple[Database, PlainCipher | AesCipher]:
    """An open database and its seal.

    Raises:
        GalleryError: there is no gallery, it is something else, or from a newer visavis.
        GalleryKeyError: the key is missing or wrong, or there is one and none is needed.
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
            cipher = seal_in(db, key, path)
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
        version = schema.version_of(db, database.folder)
        if version == len(schema.MIGRATIONS):
            return
        if version == 0 and not create:
            raise GalleryError(
                f"there is no gallery at {database.folder}", "enroll somebody to make one"
            )
        with _immediate(db, timeout=timeout):
            version = schema.version_of(db, database.folder)
            schema.migrate(db, version, now=timestamps.written(timestamps.now()))
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


def seal_in(db: sqlite3.Connection, key: Key | None, path: Path) -> PlainCipher | AesCipher:
    """The seal that the key opens, as the gallery is now."""
    row = db.execute("SELECT value FROM meta WHERE key = 'keyring'").fetchone()
    return open_keyring(row[0] if row else json.dumps(None), key, where=f"the gallery {path}")
