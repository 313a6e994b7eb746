"""A gallery's non-mated scores, kept so that not every process measures them again.

In a gallery of a million, two thousand searches take seconds, and a command that names one photo
needs their result. It is kept in the database, sealed like everything else, until the gallery has
changed by a twentieth, somebody is erased, or the key is another.
"""

from __future__ import annotations

import contextlib
import sqlite3
import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.errors import GalleryError
from visavis.gallery.cipher import Seal
from visavis.gallery.database import Database

STALE: Final = 20
"""Kept scores count until one change for so many templates has been made."""

_PREFIX: Final = "non-mated "
_HEAD: Final = struct.Struct("<qq")


def kept_scores(
    database: Database, seal: Seal, about: str, *, fewest: int
) -> NDArray[np.float32] | None:
    """The scores kept under a name; ``None``: measure them.

    Args:
        database: open.
        seal: the gallery's.
        about: model, fusion and number of probes.
        fewest: templates from which scores are kept.
    """
    with database.reading() as (db, state):
        row = db.execute("SELECT value FROM meta WHERE key = ?", (_PREFIX + about,)).fetchone()
    opened = seal.open(row[0], (_PREFIX + about).encode()) if row else None
    if opened is None or len(opened) < _HEAD.size:
        return None
    clock, faces = _HEAD.unpack_from(opened)
    if faces < fewest or not 0 <= state.clock - clock <= faces // STALE:
        return None
    return np.frombuffer(opened, "<f4", offset=_HEAD.size).astype(np.float32)


def keep_scores(
    database: Database, seal: Seal, about: str, scores: NDArray[np.float32], *, faces: int,
    clock: int,
) -> None:  # fmt: skip
    """Keep scores that were measured when the gallery's clock stood there, if that is possible."""
    value = _HEAD.pack(clock, faces) + scores.astype("<f4").tobytes()
    with contextlib.suppress(GalleryError), database.writing() as (db, state):
        # Nothing that somebody erased meanwhile has a part in.
        erased = db.execute("SELECT 1 FROM removal WHERE seq > ? LIMIT 1", (clock,)).fetchone()
        if erased is None and clock >= state.floor:
            sealed = seal.seal(value, (_PREFIX + about).encode())
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_PREFIX + about, sealed))


def drop_scores(db: sqlite3.Connection) -> None:
    """Forget them. Call it inside a write transaction that erases somebody or changes the key."""
    db.execute("DELETE FROM meta WHERE key LIKE ?", (_PREFIX + "%",))
