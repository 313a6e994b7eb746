"""Caches a gallery's non-mated scores and mean template in its database.

With a million templates, two thousand searches take seconds, and every command that identifies a
photo needs their result. Cached values are encrypted like all others. They are valid until a
twentieth of the gallery has changed, a person is erased, or the key changes. Cached scores name
their domain.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.decision.domain import Domain
from visavis.errors import GalleryError
from visavis.gallery.crypto.value_cipher import ValueCipher
from visavis.gallery.sqlite.database import Database

STALE: Final = 20
"""Cached values are stale after one change per so many templates."""

_PREFIX: Final = "non-mated "
_HEAD: Final = struct.Struct("<qq16s")


def kept_scores(
    database: Database,
    cipher: ValueCipher,
    about: str,
    *,
    fewest: int,
    domain: Domain | None = None,
) -> NDArray[np.float32] | None:
    """Returns cached values; ``None`` if they must be measured.

    Args:
        database: open database.
        cipher: cipher of the gallery.
        about: model, fusion and number of probes.
        fewest: smallest number of templates for which scores are cached.
        domain: domain of the scores.
    """
    with database.reading() as (db, state):
        row = db.execute("SELECT value FROM meta WHERE key = ?", (_PREFIX + about,)).fetchone()
    opened = cipher.decrypt(row[0], (_PREFIX + about).encode()) if row else None
    if opened is None or len(opened) < _HEAD.size:
        return None
    clock, faces, space = _HEAD.unpack_from(opened)
    if space != _digest(domain) or faces < fewest:
        return None
    if not 0 <= state.clock - clock <= faces // STALE:
        return None
    return np.frombuffer(opened, "<f4", offset=_HEAD.size).astype(np.float32)


def keep_scores(
    database: Database, cipher: ValueCipher, about: str, scores: NDArray[np.float32], *, faces: int,
    clock: int, domain: Domain | None = None,
) -> None:  # fmt: skip
    """Caches values measured at a clock value, if possible."""
    value = _HEAD.pack(clock, faces, _digest(domain)) + scores.astype("<f4").tobytes()
    with contextlib.suppress(GalleryError), database.writing() as (db, state):
        # Not if a person erased since then contributed.
        erased = db.execute("SELECT 1 FROM removal WHERE seq > ? LIMIT 1", (clock,)).fetchone()
        if erased is None and clock >= state.floor:
            blob = cipher.encrypt(value, (_PREFIX + about).encode())
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_PREFIX + about, blob))


def drop_scores(db: sqlite3.Connection) -> None:
    """Removes all cached values.

    Call it inside a write transaction that erases a person or changes the key.
    """
    db.execute("DELETE FROM meta WHERE key LIKE ?", (_PREFIX + "%",))


def _digest(domain: Domain | None) -> bytes:
    if domain is None:
        return bytes(16)
    parts = [a.tobytes() for a in (domain.mean, domain.mean_b, domain.whitening) if a is not None]
    return hashlib.blake2b(b"".join(parts), digest_size=16).digest()
