"""A gallery's mean and non-mated scores, kept so that not every process measures them again.

In a gallery of a million, two thousand searches take seconds, and a command that names one photo
needs their result. It is kept in the database, sealed like everything else, until the gallery has
changed by a twentieth, somebody is erased, or the key is another. So is the mean template; kept
scores say in which space they were measured.
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
"""Kept scores count until one change for so many templates has been made."""

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
    """The numbers kept under a name; ``None``: measure them.

    Args:
        database: open.
        seal: the gallery's.
        about: model, fusion and number of probes.
        fewest: templates from which scores are kept.
        domain: in whose space the scores must be.
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
    """Keep what was measured when the gallery's clock stood there, if that is possible."""
    value = _HEAD.pack(clock, faces, _digest(domain)) + scores.astype("<f4").tobytes()
    with contextlib.suppress(GalleryError), database.writing() as (db, state):
        # Nothing that somebody erased meanwhile has a part in.
        erased = db.execute("SELECT 1 FROM removal WHERE seq > ? LIMIT 1", (clock,)).fetchone()
        if erased is None and clock >= state.floor:
            sealed = cipher.encrypt(value, (_PREFIX + about).encode())
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_PREFIX + about, sealed))


def drop_scores(db: sqlite3.Connection) -> None:
    """Forget all.

    Call it inside a write transaction that erases somebody or changes the key.
    """
    db.execute("DELETE FROM meta WHERE key LIKE ?", (_PREFIX + "%",))


def _digest(domain: Domain | None) -> bytes:
    if domain is None:
        return bytes(16)
    parts = [a.tobytes() for a in (domain.mean, domain.mean_b, domain.whitening) if a is not None]
    return hashlib.blake2b(b"".join(parts), digest_size=16).digest()
