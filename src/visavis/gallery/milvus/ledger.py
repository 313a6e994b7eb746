"""Local files of a gallery on Milvus: the audit log and a journal of unfinished writes.

Milvus has no transactions. Every write is a list of idempotent upserts and deletes. It is added to
the journal before the first request, and removed, together with its audit entry, after the last. So
writes of a killed process are sent again.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from visavis.gallery import timestamps
from visavis.gallery.crypto.keyring import SCRYPT_COST
from visavis.gallery.milvus.options import MilvusOptions
from visavis.gallery.records import AuditEntry
from visavis.gallery.sqlite import audit
from visavis.gallery.sqlite.database import exclusive, translate_errors
from visavis.gallery.sqlite.opening import opened

_WRITER_BITS: Final = 10  # of a face's number identify the machine


@dataclass(frozen=True, slots=True)
class Write:
    """A write in the journal.

    Attributes:
        number: number in the journal.
        kind: ``add``, ``remove``, ``faces``, ``move`` or ``person``; ``settled``: an interrupted
            ``add``.
        payload: the changes, by ids and numbers, never names.
        event: its future audit entry.
        batch: key of an ``add``.
    """

    number: int
    kind: str
    payload: Mapping[str, Any]
    event: audit.Event
    batch: str = ""

    @property
    def numbers(self) -> list[int]:
        """Numbers of the faces of an ``add``, ascending: microseconds since 1970, and machine."""
        first, count = self.payload["first"], self.payload["count"]
        return [at << _WRITER_BITS | self.payload["writer"] for at in range(first, first + count)]


class Ledger:
    """Audit log and journal, in a SQLite gallery without faces.

    Args:
        folder: one per tenant; created if missing, readable by its owner only.
        options: number of this machine, and how long to wait for other processes.

    Raises:
        GalleryError: the folder cannot be written, or contains something else.
    """

    def __init__(self, folder: Path, *, options: MilvusOptions) -> None:
        self.folder = folder
        self._writer, self._timeout = options.writer, options.timeout
        with translate_errors(folder):
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._database, self._cipher = opened(
            folder, create=True, key=None, timeout=options.timeout, scrypt_cost=SCRYPT_COST
        )
        with self._database.alone() as db:
            db.execute(
                "CREATE TABLE IF NOT EXISTS begun (number INTEGER PRIMARY KEY, kind TEXT NOT NULL, "
                "payload TEXT NOT NULL, event TEXT NOT NULL, batch TEXT UNIQUE)"
            )

    def alone(self) -> AbstractContextManager[None]:
        """Lock of the one process of this machine that writes to Milvus.

        Its owner knows that nobody works on the listed writes.
        """
        return exclusive(self.folder / ".lock", folder=self.folder, timeout=self._timeout)

    def begin(self, kind: str, payload: Mapping[str, Any], event: audit.Event) -> Write:
        """Adds a write to the journal, before it is sent."""
        with self._database.writing() as (db, _):
            return _noted(db, kind, payload, event)

    def begin_batch(self, key: str, count: int, event: audit.Event) -> tuple[Write, bool]:
        """Adds an enrollment and numbers its faces; an unfinished batch with this key is reused.

        Returns the write, and whether it was reused.
        """
        with self._database.writing() as (db, state):
            row = db.execute("SELECT * FROM begun WHERE batch = ?", (key,)).fetchone()
            if row is not None:
                return replace(_write(row), event=event), True
            first = max(timestamps.now(), state.clock + 1)  # ascending
            db.execute("UPDATE state SET clock = ?", (first + count - 1,))
            payload = {"first": first, "count": count, "writer": self._writer}
            return _noted(db, "add", payload, event, key), False

    def finish(self, write: Write) -> None:
        """Removes a write and appends its audit entry, atomically."""
        with self._database.writing() as (db, _):
            audit.append(db, self._cipher, [write.event])
            db.execute("DELETE FROM begun WHERE number = ?", (write.number,))

    def drop(self, write: Write) -> None:
        """Removes a write that was undone."""
        with self._database.writing() as (db, _):
            db.execute("DELETE FROM begun WHERE number = ?", (write.number,))

    def settle(self, write: Write, faces: int) -> None:
        """Marks a batch as interrupted, with the number of faces written.

        It stays in the journal, so that the batch gets the same numbers if it is sent again.
        """
        with self._database.writing() as (db, _):
            details = {"faces": faces, "interrupted": True}
            audit.append(db, self._cipher, [audit.Event("enrol", "", details)])
            db.execute("UPDATE begun SET kind = 'settled' WHERE number = ?", (write.number,))

    def unfinished(self) -> list[Write]:
        """Returns the writes to send again, oldest first."""
        with self._database.reading() as (db, _):
            rows = db.execute("SELECT * FROM begun WHERE kind != 'settled' ORDER BY number")
            return [_write(row) for row in rows]

    def note(self, event: audit.Event) -> None:
        """Appends to the audit log."""
        with self._database.writing() as (db, _):
            audit.append(db, self._cipher, [event])

    def entries(self, *, action: str | None = None) -> Iterator[AuditEntry]:
        """Yields the audit log, oldest entry first."""
        return audit.entries(self._database, self._cipher, action=action)

    def head(self) -> tuple[int, str]:
        """Returns number and hash of the last audit entry."""
        with self._database.reading() as (db, _):
            return audit.head(db)

    def verify(self) -> Iterator[str | None]:
        """Verifies the audit log: yields ``None`` for each valid entry, else a sentence."""
        with self._database.reading() as (db, state):
            yield from audit.verify(db, self._cipher, state)

    def close(self) -> None:
        """Closes the file."""
        self._database.close()


def _noted(
    db: sqlite3.Connection, kind: str, payload: Mapping[str, Any], event: audit.Event,
    batch: str = "",
) -> Write:  # fmt: skip
    number = db.execute(
        "INSERT INTO begun (kind, payload, event, batch) VALUES (?, ?, ?, ?)",
        (kind, json.dumps(payload), json.dumps(event), batch or None),
    ).lastrowid
    return Write(number or 0, kind, payload, event, batch)


def _write(row: tuple[Any, ...]) -> Write:
    number, kind, payload, event, batch = row
    return Write(number, kind, json.loads(payload), audit.Event(*json.loads(event)), batch or "")


def ledger_folder(uri: str, tenant: str, prefix: str, *, home: Path | None) -> Path:
    """Returns the ledger's folder: beside a Milvus Lite folder, or in the data folder.

    Args:
        uri: path of a folder, or URI of a server.
        tenant: name of the tenant.
        prefix: prefix of the collections' names.
        home: the data folder; the user's own if ``None``.

    >>> ledger_folder("/data/a.db", "berlin", "visavis", home=None).as_posix()
    '/data/a.db.audit/visavis.berlin'
    """
    name = f"{prefix}.{tenant}"
    if "://" not in uri:
        return Path(f"{uri}.audit") / name
    if home is None:
        from platformdirs import user_data_path

        home = user_data_path("visavis", appauthor=False)
    return home / "milvus" / re.sub(r"[^A-Za-z0-9.]+", "-", uri).strip("-") / name
