"""What this machine keeps beside a gallery on Milvus: the audit, and writes that were begun.

Milvus has no transactions. Every write here is a list of upserts and deletes that can be sent twice
with the same result. It is noted before the first of them is sent, and crossed out, together with
its entry in the audit, after the last: what a killed process left is sent again.
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

_WRITER_BITS: Final = 10  # of a face's number say which machine gave it


@dataclass(frozen=True, slots=True)
class Write:
    """A write that was begun.

    Attributes:
        number: in the ledger.
        kind: ``add``, ``remove``, ``faces``, ``move`` or ``person``; ``settled`` of an ``add``
            that was interrupted.
        payload: what to do, by ids and numbers, never names.
        event: what the audit will say.
        batch: key of an ``add``.
    """

    number: int
    kind: str
    payload: Mapping[str, Any]
    event: audit.Event
    batch: str = ""

    @property
    def numbers(self) -> list[int]:
        """Of the faces of an ``add``: microseconds since 1970 and the machine, rising."""
        first, count = self.payload["first"], self.payload["count"]
        return [at << _WRITER_BITS | self.payload["writer"] for at in range(first, first + count)]


class Ledger:
    """A SQLite gallery without faces: only its audit is used, and a table of its own.

    Args:
        folder: one for each tenant; made if it is not there, readable for its owner only.
        options: number of this machine, and how long to wait for other processes.

    Raises:
        GalleryError: the folder cannot be written, or holds something else.
    """

    def __init__(self, folder: Path, *, options: MilvusOptions) -> None:
        self.folder = folder
        self._writer, self._timeout = options.writer, options.timeout
        with translate_errors(folder):
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._database, self._seal = opened(
            folder, create=True, key=None, timeout=options.timeout, scrypt_cost=SCRYPT_COST
        )
        with self._database.alone() as db:
            db.execute(
                "CREATE TABLE IF NOT EXISTS begun (number INTEGER PRIMARY KEY, kind TEXT NOT NULL, "
                "payload TEXT NOT NULL, event TEXT NOT NULL, batch TEXT UNIQUE)"
            )

    def alone(self) -> AbstractContextManager[None]:
        """Held by whoever writes to Milvus: processes of one machine take turns, and whoever holds
        it knows that nobody works on what the ledger lists."""
        return exclusive(self.folder / ".lock", folder=self.folder, timeout=self._timeout)

    def begin(self, kind: str, payload: Mapping[str, Any], event: audit.Event) -> Write:
        """Note a write before it is sent."""
        with self._database.writing() as (db, _):
            return _noted(db, kind, payload, event)

    def begin_batch(self, key: str, count: int, event: audit.Event) -> tuple[Write, bool]:
        """Note an enrollment and number its faces: the same again where a batch with this key was
        begun and not finished. Returns the write, and whether it was begun before."""
        with self._database.writing() as (db, state):
            row = db.execute("SELECT * FROM begun WHERE batch = ?", (key,)).fetchone()
            if row is not None:
                return replace(_write(row), event=event), True
            first = max(timestamps.now(), state.clock + 1)  # rising, even if the clock was set back
            db.execute("UPDATE state SET clock = ?", (first + count - 1,))
            payload = {"first": first, "count": count, "writer": self._writer}
            return _noted(db, "add", payload, event, key), False

    def finish(self, write: Write) -> None:
        """Cross a write out and append its entry to the audit, both or neither."""
        with self._database.writing() as (db, _):
            audit.append(db, self._seal, [write.event])
            db.execute("DELETE FROM begun WHERE number = ?", (write.number,))

    def drop(self, write: Write) -> None:
        """Cross out a write that was taken back."""
        with self._database.writing() as (db, _):
            db.execute("DELETE FROM begun WHERE number = ?", (write.number,))

    def settle(self, write: Write, faces: int) -> None:
        """Note that a batch was interrupted, and how many of its faces are there. It stays known,
        so that the same batch, when it is sent again, gets the same numbers."""
        with self._database.writing() as (db, _):
            details = {"faces": faces, "interrupted": True}
            audit.append(db, self._seal, [audit.Event("enrol", "", details)])
            db.execute("UPDATE begun SET kind = 'settled' WHERE number = ?", (write.number,))

    def unfinished(self) -> list[Write]:
        """Writes to carry out again, oldest first."""
        with self._database.reading() as (db, _):
            rows = db.execute("SELECT * FROM begun WHERE kind != 'settled' ORDER BY number")
            return [_write(row) for row in rows]

    def note(self, event: audit.Event) -> None:
        """Append to the audit."""
        with self._database.writing() as (db, _):
            audit.append(db, self._seal, [event])

    def entries(self, *, action: str | None = None) -> Iterator[AuditEntry]:
        """The audit from the start."""
        return audit.entries(self._database, action=action)

    def head(self) -> tuple[int, str]:
        """Number and hash of the audit's last entry."""
        with self._database.reading() as (db, _):
            return audit.head(db)

    def verify(self) -> Iterator[str | None]:
        """Walk the audit: ``None`` for each entry that is as it was written, else a sentence."""
        with self._database.reading() as (db, state):
            yield from audit.verify(db, self._seal, state)

    def close(self) -> None:
        """Let go of the file."""
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
    """Where a ledger is: beside a Milvus Lite folder; of a server in this user's data folder.

    Args:
        uri: a folder's path, or the server's URI.
        tenant: whose gallery.
        prefix: of the collections' names.
        home: the data folder; the user's own when ``None``.

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
