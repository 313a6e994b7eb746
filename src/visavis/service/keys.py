"""Access keys of the service: who may do what, in which galleries.

A token is ``vv_<id>_<secret>``. Only the SHA-256 of the secret is stored: a secret of 256 random
bits cannot be guessed from it.

A signature of AWS (version 4) can only be checked with the secret itself. So a key's secret access
key is derived from its id and a key file that is not stored beside the keys.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import re
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Final

from visavis.errors import KeyFileError, OptionError
from visavis.types import Record

SCOPES: Final = {
    "verify": "compare, detect and embed photos, sort photos, read calibrations and models",
    "identify": "search the galleries of the key",
    "enroll": "add, change and erase people in the galleries of the key",
    "admin": "do all of these, and make and delete calibrations",
}
"""What each scope allows."""

EVERY: Final = "*"
"""In place of galleries: all of them."""

RATE: Final = 600
"""Default requests per minute."""

_TOKEN: Final = re.compile(r"vv_([0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII)
_ACCESS_KEY: Final = re.compile(r"VVAK([0-9A-F]{12})", re.ASCII)
_LABEL: Final = 100
_TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS key (
    id TEXT PRIMARY KEY, hash BLOB NOT NULL, label TEXT NOT NULL, scopes TEXT NOT NULL,
    galleries TEXT NOT NULL, rate INTEGER NOT NULL, created TEXT NOT NULL, expires TEXT,
    revoked TEXT)""",
    """CREATE TABLE IF NOT EXISTS calibration (
    name TEXT PRIMARY KEY, galleries TEXT NOT NULL)""",
    "CREATE TABLE seal (digest BLOB NOT NULL)",
    "INSERT INTO seal VALUES (x'')",
    "PRAGMA user_version = 1",
)
"""Statements for a new file, or for one of a former version, which had no seal."""
_COLUMNS: Final = "id, label, scopes, galleries, rate, created, expires, revoked"


@dataclass(frozen=True, slots=True)
class ServiceKey(Record):
    """A key as it is listed, without its secret.

    Attributes:
        id: the public part of its token.
        label: a note on who uses it.
        scopes: what it allows, of ``SCOPES``.
        galleries: names of its galleries; ``*`` for all.
        rate: most requests per minute.
        created: ISO 8601 UTC time.
        expires: ISO 8601 UTC time after which it is refused, or ``None``.
        revoked: ISO 8601 UTC time since which it is refused, or ``None``.
    """

    id: str
    label: str
    scopes: tuple[str, ...]
    galleries: tuple[str, ...]
    rate: int
    created: str
    expires: str | None
    revoked: str | None

    @property
    def state(self) -> str:
        """``valid``, ``expired`` or ``revoked``."""
        if self.revoked is not None:
            return "revoked"
        if self.expires is not None and datetime.fromisoformat(self.expires) <= datetime.now(UTC):
            return "expired"
        return "valid"

    def allows(self, scope: str) -> bool:
        """Whether it has a scope; ``admin`` has all."""
        return scope in self.scopes or "admin" in self.scopes

    def sees(self, gallery: str) -> bool:
        """Whether a gallery is among its own."""
        return EVERY in self.galleries or gallery in self.galleries


class KeyStore:
    """Keys in a SQLite file that only its owner can read. Thread-safe; processes may share it.

    A digest covers all rows: a damaged file must neither open the service to everybody nor bring a
    revoked key back. It is compared when the file is opened, and after another process wrote.

    Args:
        path: the file; made when the first key is.

    Every method raises ``KeyFileError`` if the file is damaged, or cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._sound = -1  # SQLite's data_version of the content that was compared
        self._file: tuple[int, int] | None = None  # the open one

    def create(
        self,
        *,
        scopes: Sequence[str],
        galleries: Sequence[str] = (),
        expires: str | None = None,
        rate: int = RATE,
        label: str = "",
    ) -> tuple[ServiceKey, str]:
        """Makes a key; returns it with its token, which cannot be shown again.

        Args:
            scopes: one or more of ``SCOPES``.
            galleries: names of galleries, or ``*``; needed by all scopes but ``verify``.
            expires: ISO 8601 UTC time; ``None``: never.
            rate: most requests per minute, 1 or more.
            label: a note on who uses it.

        Raises:
            OptionError: an argument is not as it should be.
        """
        chosen = tuple(dict.fromkeys(scopes))
        unknown = [scope for scope in chosen if scope not in SCOPES]
        if unknown or not chosen:
            raise OptionError(f"scope {', '.join(unknown)}" if unknown else "a key without scope",
                              f"choose one of {', '.join(SCOPES)}")  # fmt: skip
        if {*chosen} - {"verify"} and not galleries:
            raise OptionError(
                f"scope {chosen[0]} without a gallery", "name its galleries, or * for all"
            )
        if rate < 1:
            raise OptionError(f"{rate} requests per minute", "give 1 or more")
        if not label.isprintable() or len(label) > _LABEL:
            raise OptionError(f"the label {label[:20]!a}", f"give at most {_LABEL} characters")
        identity, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        key = ServiceKey(
            identity, label, chosen, tuple(dict.fromkeys(galleries)), rate, _now(), expires, None
        )
        with self._open(write=True, create=True) as db:
            assert db is not None  # noqa: S101
            db.execute(
                f"INSERT INTO key (hash, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (_hash(secret), key.id, label, "\n".join(key.scopes), "\n".join(key.galleries),
                 rate, key.created, expires, None),
            )  # fmt: skip
        return key, f"vv_{identity}_{secret}"

    def entries(self) -> tuple[ServiceKey, ...]:
        """Returns all keys, oldest first, with those that expired or were revoked."""
        with self._open() as db:
            rows = () if db is None else db.execute(f"SELECT {_COLUMNS} FROM key ORDER BY created")
            return tuple(map(_key, rows))

    def revoke(self, key: str) -> ServiceKey:
        """Refuses a key from now on, in running services as well.

        Raises:
            OptionError: there is no such key.
        """
        with self._open(write=True) as db:
            wanted = "UPDATE key SET revoked = coalesce(revoked, ?) WHERE id = ?"
            changed = 0 if db is None else db.execute(wanted, (_now(), key)).rowcount
        if not changed:
            raise OptionError(f"no key {key!r}", "`visavis keys list` shows their ids")
        return next(one for one in self.entries() if one.id == key)

    def check(self, token: str) -> ServiceKey | None:
        """Returns the valid key of a token, or ``None``."""
        found = _TOKEN.fullmatch(token)
        if found is None:
            return None
        with self._open() as db:
            row = None if db is None else db.execute(
                f"SELECT hash, {_COLUMNS} FROM key WHERE id = ?", (found[1],)
            ).fetchone()  # fmt: skip
        # A hash is compared for unknown ids, too: the time does not tell them apart.
        same = hmac.compare_digest(_hash(found[2]), row[0] if row else _hash(""))
        return _valid(row[1:]) if same and row is not None else None

    def of_access_key(self, access_key_id: str) -> ServiceKey | None:
        """Returns the valid key of an access key id, or ``None``; it proves nothing by itself."""
        found = _ACCESS_KEY.fullmatch(access_key_id)
        if found is None:
            return None
        with self._open() as db:
            row = None if db is None else db.execute(
                f"SELECT {_COLUMNS} FROM key WHERE id = ?", (found[1].lower(),)
            ).fetchone()  # fmt: skip
        return None if row is None else _valid(row)

    def __bool__(self) -> bool:
        """Whether there is any key, be it expired or revoked."""
        with self._open() as db:
            return db is not None and db.execute("SELECT 1 FROM key LIMIT 1").fetchone() is not None

    def own_calibration(self, name: str, galleries: Sequence[str] | None) -> None:
        """Notes for which galleries a calibration was made; ``None``: it belongs to nobody."""
        with self._open(write=True, create=galleries is not None) as db:
            if db is not None:
                db.execute("DELETE FROM calibration WHERE name = ?", (name,))
            if db is not None and galleries is not None:
                db.execute("INSERT INTO calibration VALUES (?, ?)", (name, "\n".join(galleries)))

    def calibrations(self) -> dict[str, frozenset[str]]:
        """Returns the galleries of every calibration that was made with a key."""
        with self._open() as db:
            rows = () if db is None else db.execute("SELECT name, galleries FROM calibration")
            return {name: frozenset(galleries.split("\n")) for name, galleries in rows}

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    @contextlib.contextmanager
    def _open(
        self, *, write: bool = False, create: bool = False
    ) -> Iterator[sqlite3.Connection | None]:
        """Yields the database in a transaction; ``None`` if there is none yet."""
        with self._lock:
            try:
                self._require_same_file()
                if self._db is None and (create or self._path.exists()):
                    self._db = self._connected()
                if self._db is None:
                    yield None
                    return
                db = self._db
                db.execute("BEGIN IMMEDIATE" if write else "BEGIN")
                try:
                    self._require_sound(db)
                    yield db
                    if write:
                        db.execute("UPDATE seal SET digest = ?", (_digest(db),))
                    db.execute("COMMIT")
                finally:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
            except (OSError, sqlite3.Error, UnicodeDecodeError) as error:
                raise KeyFileError(
                    f"the keys in {self._path} cannot be read or written ({error})",
                    "check the file and the free space on the disk",
                ) from error

    def _require_same_file(self) -> None:
        """Closes a file that was replaced, by a backup of it; the next is opened in its place."""
        if self._db is None:
            return
        if not self._path.exists():
            raise KeyFileError(
                f"the keys in {self._path} were removed while they were in use",
                "restore the file from a backup, or make new keys, and start again",
            )
        if self._file != _identity(self._path):
            self._db.close()
            self._db, self._sound = None, -1

    def _connected(self) -> sqlite3.Connection:
        if not self._path.exists():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
            try:
                os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
                with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as db:
                    _prepare(db)
                with contextlib.suppress(FileExistsError):  # another process was quicker
                    os.link(new, self._path)  # with its tables, or not at all
            finally:
                new.unlink(missing_ok=True)
        self._path.chmod(0o600)
        if not self._path.stat().st_size:
            raise self._damaged("it is empty")
        self._file = _identity(self._path)
        db = sqlite3.connect(self._path, timeout=30, check_same_thread=False, isolation_level=None)
        try:
            if db.execute("PRAGMA user_version").fetchone() == (0,):
                _prepare(db)
        except BaseException:
            db.close()
            raise
        return db

    def _require_sound(self, db: sqlite3.Connection) -> None:
        (version,) = db.execute("PRAGMA data_version").fetchone()
        if version == self._sound:
            return
        (found,) = db.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            raise self._damaged(found)
        if db.execute("SELECT digest FROM seal").fetchall() != [(_digest(db),)]:
            raise self._damaged("its rows are not those that were written")
        self._sound = version

    def _damaged(self, problem: str) -> KeyFileError:
        return KeyFileError(
            f"the keys in {self._path} are damaged: {problem}",
            "restore the file from a backup, or remove it and make new keys",
        )


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _prepare(db: sqlite3.Connection) -> None:
    """Makes the tables that are missing, and seals what there is."""
    db.execute("BEGIN IMMEDIATE")
    if db.execute("PRAGMA user_version").fetchone() == (0,):  # no other process was quicker
        for statement in _TABLES:
            db.execute(statement)
        db.execute("UPDATE seal SET digest = ?", (_digest(db),))
    db.execute("COMMIT")


def _digest(db: sqlite3.Connection) -> bytes:
    """Returns the digest of all rows."""
    digest = hashlib.blake2b(digest_size=16)
    for query in (f"SELECT hash, {_COLUMNS} FROM key ORDER BY id",
                  "SELECT name, galleries FROM calibration ORDER BY name"):  # fmt: skip
        digest.update(repr(db.execute(query).fetchall()).encode())
    return digest.digest()


def access_key_id(key: ServiceKey) -> str:
    """Returns the access key id of a key, 16 letters and digits."""
    return f"VVAK{key.id.upper()}"


def secret_access_key(access_key: str, *, master: bytes) -> str:
    """Returns the secret access key of an access key id, 40 characters.

    It is 240 bits of an HMAC-SHA256 of the id, in base64.

    Args:
        access_key: access key id.
        master: secret of all keys, 32 random bytes.
    """
    digest = hmac.digest(master, f"visavis secret access key\n{access_key}".encode(), "sha256")
    return base64.b64encode(digest[:30]).decode()


def store_in(home: Path | None) -> KeyStore:
    """Returns the keys of a home folder; of the user's data folder if ``None``."""
    if home is None:
        from platformdirs import user_data_path

        home = user_data_path("visavis", appauthor=False)
    return KeyStore(home / "keys.sqlite")


class TokenBuckets:
    """Requests that each key may still make. Thread-safe.

    A bucket holds the requests of ten seconds, at least ten, and fills steadily.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, key: str, rate: int, *, now: float | None = None) -> float:
        """Takes one request; returns 0, or the seconds to wait if there is none left.

        Args:
            key: id of the key.
            rate: requests per minute.
            now: time in seconds of a monotonic clock.
        """
        when, most = monotonic() if now is None else now, max(10.0, rate / 6)
        with self._lock:
            level, since = self._levels.get(key, (most, when))
            level = min(most, level + (when - since) * rate / 60)
            self._levels[key] = (level - 1 if level >= 1 else level, when)
        return 0.0 if level >= 1 else (1 - level) * 60 / rate


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _valid(row: Sequence[str | int | None]) -> ServiceKey | None:
    key = _key(row)
    return key if key.state == "valid" else None


def _key(row: Sequence[str | int | None]) -> ServiceKey:
    identity, label, scopes, galleries, rate, created, expires, revoked = row
    return ServiceKey(
        str(identity), str(label), tuple(str(scopes).split("\n")),
        tuple(name for name in str(galleries).split("\n") if name), int(rate or 0), str(created),
        None if expires is None else str(expires), None if revoked is None else str(revoked),
    )  # fmt: skip
