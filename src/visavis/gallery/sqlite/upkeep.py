"""Maintenance of a gallery: rekey, compact, backup."""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from visavis.errors import GalleryError, GalleryKeyError
from visavis.gallery.crypto.key import Key
from visavis.gallery.crypto.keyring import plain_keyring, wrapped_keyring
from visavis.gallery.crypto.value_cipher import AesCipher, CurrentCipher, PlainCipher, ValueCipher
from visavis.gallery.sqlite import audit
from visavis.gallery.sqlite.database import (
    Database,
    is_busy,
    is_damage,
    translate_errors,
    translated,
)
from visavis.gallery.sqlite.erase import Eraser
from visavis.gallery.sqlite.live_indexes import LiveIndexes
from visavis.gallery.sqlite.nonmated_cache import drop_scores
from visavis.gallery.sqlite.opening import DATABASE, INDEX
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

_RESEALED = 2000


def rekey(
    database: Database,
    eraser: Eraser,
    cipher: CurrentCipher,
    new: Key | None,
    *,
    reencrypt: bool,
    cost: int,
) -> None:
    """Changes the key of a gallery; see ``SqliteGallery.rekey``."""
    if new is None and not cipher.encrypted and not reencrypt:
        raise GalleryKeyError(
            f"the gallery {database.folder} is not encrypted", "give a key to encrypt it"
        )
    with eraser.lock():
        with database.alone():  # nobody writes between change and new cipher
            with database.writing() as (db, state):
                old = cipher.now
                keep = isinstance(old, AesCipher) and new is not None and not reencrypt
                wanted: PlainCipher | AesCipher
                if new is None:
                    text, wanted = plain_keyring()
                else:
                    data_key = old.data_key if keep and isinstance(old, AesCipher) else None
                    text, wanted = wrapped_keyring(new, data_key=data_key, cost=cost)
                if not keep:
                    encrypt_everything(db, old, wanted)
                    db.execute("UPDATE state SET generation = ?", (state.generation + 1,))
                    db.execute("DELETE FROM snapshot")
                    drop_scores(db)
                db.execute("UPDATE meta SET value = ? WHERE key = 'keyring'", (text,))
                db.execute("UPDATE state SET erasing = 1")
                how = {"encrypted": new is not None, "reencrypted": not keep}
                audit.append(db, wanted, [audit.Event("rekey", "", how)])
            # From here on the new key is valid, even if the cleaning fails.
            cipher.now = wanted
            if not keep:
                database.generation = state.generation + 1
        # Freed pages must not contain data for the old key, or plain data.
        eraser.rewrite_locked(
            "the gallery is not encrypted any more"
            if new is None
            else "the gallery has its new key, and only that opens it"
        )


def compact(
    database: Database, eraser: Eraser, indexes: LiveIndexes, cipher: ValueCipher
) -> tuple[int, int]:
    """Shrinks the files; returns bytes before and after."""
    before = database.size()
    with eraser.lock(), database.writing() as (db, state):
        for model in indexes.loaded():
            indexes.current(db, state, model, cipher)
        db.execute("DELETE FROM removal")
        db.execute("DELETE FROM moved")
        db.execute("DELETE FROM snapshot")
        db.execute("DELETE FROM setting WHERE id NOT IN (SELECT setting FROM face)")
        db.execute("UPDATE state SET floor = ?", (state.clock,))
        audit.append(db, cipher, [audit.Event("compact", "", {})])
    eraser.rewrite()
    indexes.save_all(cipher)
    return before, database.size()


def backup(database: Database, cipher: ValueCipher, destination: Path) -> None:
    """Copies a gallery while others read and write; see ``SqliteGallery.backup``."""
    with translate_errors(destination):
        if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
            raise GalleryError(
                f"{destination} is there already", "name a new folder for the backup"
            )
        made = not destination.exists()
        destination.mkdir(mode=0o700, parents=True, exist_ok=True)
        destination.chmod(0o700)
        partial = destination / f".{DATABASE}.{secrets.token_hex(4)}.part"
        try:
            os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            (destination / INDEX).mkdir(mode=0o700)
            _copy(database, partial)
            with database.writing() as (db, _):  # every copy is in the audit log
                audit.append(db, cipher, [audit.Event("backup", "", {})])
            partial.replace(destination / DATABASE)
        except BaseException:  # restore the folder, so that a retry is possible
            for left in destination.glob(f"{partial.name}*"):
                left.unlink()
            with contextlib.suppress(OSError):
                (destination / INDEX).rmdir()
                if made:
                    destination.rmdir()
            raise


def _copy(database: Database, target: Path) -> None:
    """Copies a consistent state without deleted data, by ``VACUUM INTO``."""
    with database.alone() as db:
        try:
            db.execute("VACUUM INTO ?", (str(target),))
        except sqlite3.Error as error:
            if is_busy(error) or is_damage(error):
                raise
            raise translated(target.parent, error) from error  # the disk of the copy is full
    copy = sqlite3.connect(target, isolation_level=None)
    try:
        copy.execute("PRAGMA synchronous = FULL")
        # The copy has no snapshots and no unfinished erasure.
        copy.execute("BEGIN IMMEDIATE")
        copy.execute("DELETE FROM snapshot")
        copy.execute("UPDATE state SET erasing = 0")
        copy.execute("COMMIT")
    finally:
        copy.close()
    with target.open("rb+") as file:
        os.fsync(file.fileno())


def encrypt_everything(db: sqlite3.Connection, old: ValueCipher, new: ValueCipher) -> None:
    """Encrypts every value again; call inside a write transaction.

    Raises:
        GalleryDamagedError: a value is damaged.
    """
    dimensions = dict(db.execute("SELECT id, dimension FROM model").fetchall())
    for rows in _parts(db, "SELECT id, uid, name, attributes FROM person"):
        db.executemany(
            "UPDATE person SET name_tag = ?, name = ?, attributes = ? WHERE id = ?",
            [_reencrypted_person(old, new, row) for row in rows],
        )
    for rows in _parts(db, f"SELECT {FACE_COLUMNS} FROM face"):
        db.executemany(
            "UPDATE face SET source_tag = ?, body = ? WHERE id = ?",
            [_reencrypted_face(old, new, row, dimensions[row[2]]) for row in rows],
        )
    for rows in _parts(db, "SELECT face FROM crop", key="face"):
        db.executemany(
            "UPDATE crop SET png = ? WHERE face = ?",
            [(new.encrypt(crop_of(db, old, n) or b"", about_crop(n)), n) for (n,) in rows],
        )
    audit.encrypt_head(db, new)


def _parts(
    db: sqlite3.Connection, select: str, *, key: str = "id"
) -> Iterator[list[tuple[Any, ...]]]:
    after = 0
    # Ends: numbers rise, and nobody else adds rows during the transaction.
    while rows := db.execute(
        f"{select} WHERE {key} > ? ORDER BY {key} LIMIT ?", (after, _RESEALED)
    ).fetchall():
        after = rows[-1][0]
        yield rows


def _reencrypted_person(
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


def _reencrypted_face(
    old: ValueCipher, new: ValueCipher, row: tuple[Any, ...], dimension: int
) -> tuple[bytes | None, bytes, int]:
    body = open_body(old, row)
    tag = source_tag(new, source_sha256_of(body, dimension))
    about = face_about((*row[:4], tag, *row[5:8]))
    return tag, new.encrypt(body, about), row[0]
