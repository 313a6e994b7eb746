"""Append-only audit log, as a hash chain.

The hash of each entry covers the previous one, so changing, removing or inserting an entry changes
all later hashes. Somebody with write access to the files can still replace the whole chain. A copy
of the head kept elsewhere detects that (``GalleryInfo.audit_head``). In an encrypted gallery the
encrypted head does, too: it cannot be made without the key.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from json.encoder import encode_basestring_ascii as _text
from typing import Any, Final, NamedTuple

from visavis.errors import GalleryDamagedError, OptionError
from visavis.gallery import timestamps
from visavis.gallery.crypto.value_cipher import ValueCipher
from visavis.gallery.records import AuditEntry
from visavis.gallery.sqlite.database import Readable, State
from visavis.gallery.sqlite.schema import FREQUENT, INDEXED

_START = bytes(32)
_CHECK: Final = "run `visavis gallery check`, or restore the gallery from a backup"
_PART = 5000
_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode  # ASCII: a unique form


class Event(NamedTuple):
    """An event to append: action, opaque id of the person or "", and JSON details."""

    action: str
    subject: str
    details: Mapping[str, Any]


def event(action: str, subject: str, details: Mapping[str, Any]) -> Event:
    """Returns a checked event of a caller.

    Raises:
        OptionError: no action, or details that are not JSON values.
    """
    try:
        plain = json.loads(json.dumps(dict(details), allow_nan=False))
        same = plain == dict(details)
    except (TypeError, ValueError, RecursionError) as error:
        raise OptionError(
            f"the audit's details cannot be kept ({error})", "give JSON values"
        ) from error
    if not same:
        raise OptionError(
            "the audit's details are not the same after being written", "give JSON values"
        )
    if not action or not isinstance(action, str) or not isinstance(subject, str):
        raise OptionError(f"the audit's action {action!r}", "name what was done in a word")
    return Event(action, subject, plain)


def append(db: sqlite3.Connection, cipher: ValueCipher, events: Iterable[Event]) -> None:
    """Appends events; call inside a write transaction."""
    last = db.execute("SELECT seq, time, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    seq, before, link = last or (0, "", _START)
    time = max(before, timestamps.written(timestamps.now()))  # keeps the order
    rows = []
    encoded, details, shown = None, "", ("", "")
    shown_time = _text(time)
    for action, subject, given in events:
        seq += 1
        if given is not encoded or action != rows[-1][2]:  # the same for most people
            encoded, details = given, _ENCODE(given)
            shown = (_text(action), _text(details))
        link = _link(link, seq, shown_time, shown[0], _text(subject), shown[1])
        rows.append((seq, time, action, subject, details, link))
    if rows:
        db.executemany("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?)", rows)
        _keep_head(db, _encrypted_head(cipher, seq, link.hex()))


def head(db: sqlite3.Connection) -> tuple[int, str]:
    """Returns number and hash (hex) of the last entry; 0 and zeros if there is none."""
    row = db.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    return (int(row[0]), row[1].hex()) if row else (0, _START.hex())


def encrypt_head(db: sqlite3.Connection, cipher: ValueCipher) -> None:
    """Encrypts the head again after it or the key has changed."""
    _keep_head(db, _encrypted_head(cipher, *head(db)))


def _keep_head(db: sqlite3.Connection, encrypted: bytes) -> None:
    db.execute("UPDATE state SET audit_seal = ?", (encrypted,))


def entries(
    database: Readable, cipher: ValueCipher, *, action: str | None = None
) -> Iterator[AuditEntry]:
    """Yields the current entries, or those of one action, in batches, and verifies them.

    Raises:
        GalleryDamagedError: an entry was changed or is missing.
    """
    with database.reading() as (db, state):
        last, link = head(db)
        if last and state.audit_seal != _encrypted_head(cipher, last, link):
            raise GalleryDamagedError(f"the audit's end was changed: audit entry {last}", _CHECK)
    which = "" if action is None else "audit.action = :action AND "
    if action not in {None, *FREQUENT}:
        which += f"audit.{INDEXED} AND "
    after = 0
    while after < last:  # increases with each batch
        with database.reading() as (db, _):
            rows = db.execute(
                "SELECT audit.*, before.hash FROM audit "
                "LEFT JOIN audit AS before ON before.seq = audit.seq - 1 "
                f"WHERE {which} audit.seq > :after AND audit.seq <= :last ORDER BY audit.seq "
                "LIMIT :part",
                {"action": action, "after": after, "last": last, "part": _PART},
            ).fetchall()
        if action is None and [row[0] for row in rows] != list(
            range(after + 1, min(after + _PART, last) + 1)
        ):
            raise GalleryDamagedError(
                f"audit entries are missing after audit entry {after}", _CHECK
            )
        yield from map(_entry, rows)
        after = rows[-1][0] if len(rows) == _PART else last


def verify(db: sqlite3.Connection, cipher: ValueCipher, state: State) -> Iterator[str | None]:
    """Verifies the chain: yields ``None`` for each valid entry, a sentence for each invalid one."""
    link, wanted = _START, 1
    for seq, time, action, subject, details, found in db.execute(
        "SELECT * FROM audit ORDER BY seq"
    ):
        if seq != wanted:
            yield f"audit entries {wanted} to {seq - 1} are missing"
        try:
            link = _link(link, seq, *map(_text, (time, action, subject, details)))
        except TypeError:  # a value of another type
            link = b""
        yield None if link == found else f"audit entry {seq} or one before it was changed"
        link, wanted = found, seq + 1
    if (wanted > 1 or state.audit_seal) and state.audit_seal != _encrypted_head(cipher, *head(db)):
        yield f"the audit's end was changed: entry {wanted - 1} is not the one that was written"


def _entry(row: tuple[Any, ...]) -> AuditEntry:
    seq, time, action, subject, details, link, before = row
    try:
        shown = map(_text, (time, action, subject, details))
        if link != _link(before or _START, seq, *shown):
            raise ValueError(seq)
        return AuditEntry(seq, time, action, subject, json.loads(details), bytes(link).hex())
    except (ValueError, TypeError) as error:
        raise GalleryDamagedError(f"audit entry {seq} is not what was written", _CHECK) from error


def _link(before: bytes, seq: int, *texts: str) -> bytes:
    """Returns the hash of an entry; ``texts`` are JSON: time, action, subject, details.

    The hashed text is what _ENCODE would write.
    """
    return hashlib.sha256(before + f"[{seq},{','.join(texts)}]".encode()).digest()


def _encrypted_head(cipher: ValueCipher, seq: int, link: str) -> bytes:
    return cipher.blind(b"audit", f"{seq} {link}")
