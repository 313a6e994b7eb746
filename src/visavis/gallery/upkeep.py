"""Work on a whole gallery: another key, a smaller file, a copy."""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from pathlib import Path

from visavis.errors import GalleryError, GalleryKeyError
from visavis.gallery import audit
from visavis.gallery.cipher import AesSeal, PlainSeal
from visavis.gallery.database import Database
from visavis.gallery.erasure import Eraser
from visavis.gallery.failures import told
from visavis.gallery.key import Key
from visavis.gallery.keyring import plain_keyring, wrapped_keyring
from visavis.gallery.live_indexes import LiveIndexes
from visavis.gallery.opening import DATABASE, INDEX
from visavis.gallery.own_scores_kept import drop_scores
from visavis.gallery.rekeying import reseal_everything


def rekey(
    database: Database,
    eraser: Eraser,
    seal: PlainSeal | AesSeal,
    new: Key | None,
    *,
    reencrypt: bool,
    cost: int,
) -> PlainSeal | AesSeal:
    """Give a gallery another key, or none; see ``SqliteGallery.rekey``."""
    if new is None and isinstance(seal, PlainSeal) and not reencrypt:
        raise GalleryKeyError(
            f"the gallery {database.folder} is not encrypted", "give a key to encrypt it"
        )
    keep = isinstance(seal, AesSeal) and new is not None and not reencrypt
    wanted: PlainSeal | AesSeal
    if new is None:
        text, wanted = plain_keyring()
    else:
        data_key = seal.data_key if keep and isinstance(seal, AesSeal) else None
        text, wanted = wrapped_keyring(new, data_key=data_key, cost=cost)
    with eraser.lock():
        with database.writing() as (db, state):
            if not keep:
                reseal_everything(db, seal, wanted)
                db.execute("UPDATE state SET generation = ?", (state.generation + 1,))
                db.execute("DELETE FROM snapshot")
                drop_scores(db)
            db.execute("UPDATE meta SET value = ? WHERE key = 'keyring'", (text,))
            db.execute("UPDATE state SET erasing = 1")
            how = {"encrypted": new is not None, "reencrypted": not keep}
            audit.append(db, wanted, [audit.Event("rekey", "", how)])
        if not keep:
            database.generation = state.generation + 1
        # What the old key opens, or no key, must not lie in freed pages.
        eraser.rewrite_locked()
    return wanted


def compact(
    database: Database, eraser: Eraser, indexes: LiveIndexes, seal: PlainSeal | AesSeal
) -> tuple[int, int]:
    """Make the files as small as they can be; bytes before and after."""
    before = size(database.folder)
    with eraser.lock(), database.writing() as (db, state):
        for model in indexes.loaded():
            indexes.current(db, state, model, seal)
        db.execute("DELETE FROM removal")
        db.execute("DELETE FROM moved")
        db.execute("DELETE FROM snapshot")
        db.execute("UPDATE state SET floor = ?", (state.clock,))
        audit.append(db, seal, [audit.Event("compact", "", {})])
    eraser.rewrite()
    indexes.save_all(seal)
    return before, size(database.folder)


def backup(database: Database, seal: PlainSeal | AesSeal, destination: Path) -> None:
    """A copy that is a gallery itself, while others read and write; see ``SqliteGallery``."""
    with told(destination):
        if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
            raise GalleryError(
                f"{destination} is there already", "name a new folder for the backup"
            )
        destination.mkdir(mode=0o700, parents=True, exist_ok=True)
        destination.chmod(0o700)
        (destination / INDEX).mkdir(mode=0o700, exist_ok=True)
        partial = destination / f".{DATABASE}.{secrets.token_hex(4)}.part"
        try:
            os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            _copy(database, partial)
            partial.replace(destination / DATABASE)
        finally:
            partial.unlink(missing_ok=True)
    with database.writing() as (db, _):
        audit.append(db, seal, [audit.Event("backup", "", {})])


def size(folder: Path) -> int:
    """Bytes of all files of a gallery."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def _copy(database: Database, target: Path) -> None:
    """``VACUUM INTO`` reads one moment of the database and copies nothing that was deleted."""
    with database.alone() as db:
        db.execute("VACUUM INTO ?", (str(target),))
    copy = sqlite3.connect(target, isolation_level=None)
    try:
        copy.execute("PRAGMA synchronous = FULL")
        # The copy has no snapshots, and nothing to erase.
        copy.execute("BEGIN IMMEDIATE")
        copy.execute("DELETE FROM snapshot")
        copy.execute("UPDATE state SET erasing = 0")
        copy.execute("COMMIT")
    finally:
        copy.close()
    with target.open("rb+") as file:
        os.fsync(file.fileno())
