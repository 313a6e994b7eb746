"""Connection to a gallery's SQLite file, with transactions that wait for other processes.

Any number of processes may read and write (write-ahead log); one writes at a time. Others wait up
to ``timeout``. Writes are atomic.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar

from visavis.errors import (
    GalleryBusyError,
    GalleryDamagedError,
    GalleryError,
    GalleryKeyError,
    VisavisError,
)
from visavis.gallery.sqlite import soundness, tally

_PRIMARY = 0xFF
_LEAST_ROOM: Final = 64 << 10
THOROUGH_UP_TO: Final = 128 << 20
"""Bytes up to which every page of a database is checked when it is opened (some tenths of a
second per 100,000 faces); of a larger one only counts and sums."""
COMPARED_EVERY: Final = 600.0
"""Seconds after which an open gallery is checked again: a page may be lost beneath it."""


def is_busy(error: sqlite3.Error) -> bool:
    """Returns whether another connection holds a lock, so that a retry may help."""
    return _code(error) in {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PROTOCOL,
    }


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Translates errors of SQLite and the operating system to gallery errors.

    Args:
        path: the gallery's folder, for messages.

    Raises:
        GalleryBusyError: another process held the gallery for too long.
        GalleryDamagedError: a file is no database, or a damaged one.
        GalleryError: any other error, such as a full disk or a read-only folder.
    """
    try:
        yield
    except VisavisError:
        raise
    except sqlite3.Error as error:
        raise translated(path, error) from error
    except UnicodeDecodeError as error:  # in SQLite's own message about a damaged table
        raise damaged(path, "its tables cannot be read") from error
    except OSError as error:
        raise GalleryError(
            f"the gallery {path}: {error.strerror or error}",
            "make room or allow reading and writing there",
        ) from error


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & _PRIMARY


def is_damage(error: sqlite3.Error) -> bool:
    """Returns whether the error means that the file is damaged or no database."""
    return _code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _no_room(path: Path) -> bool:
    """Returns whether SQLite's shared memory, 32 KiB at a time, has no room on a disk."""
    with contextlib.suppress(OSError):
        return shutil.disk_usage(path).free < _LEAST_ROOM
    return False


def damaged(path: Path, problem: str) -> GalleryDamagedError:
    """Returns the error for a damaged database.

    Args:
        path: the gallery's folder, for messages.
        problem: what is not as it was written.
    """
    return GalleryDamagedError(
        f"the gallery {path} is damaged: {problem}",
        "restore the folder from a backup; `visavis gallery check` lists all that is wrong",
    )


def translated(path: Path, error: sqlite3.Error, *, unchanged: bool = False) -> GalleryError:
    """Returns the gallery error for an error of SQLite.

    Args:
        path: the gallery's folder, for messages.
        error: error of SQLite.
        unchanged: say that nothing was written; the caller has checked this.
    """
    code = _code(error)
    if code == sqlite3.SQLITE_IOERR and _no_room(path):
        code = sqlite3.SQLITE_FULL
    if is_busy(error):
        return GalleryBusyError(
            f"the gallery {path} was held by another process for too long",
            "wait for it to finish, or end it, and try again",
        )
    if is_damage(error):
        return GalleryDamagedError(
            f"the database of the gallery {path} is damaged ({error})",
            "restore the folder from a backup",
        )
    remedies = {
        sqlite3.SQLITE_FULL: ("its disk is full", "make room"),
        sqlite3.SQLITE_READONLY: ("it is read-only", "allow writing to the folder and its files"),
        sqlite3.SQLITE_CANTOPEN: (
            "its database cannot be opened",
            "allow reading and writing the folder and its files",
        ),
        sqlite3.SQLITE_IOERR: (
            f"its disk does not read or write ({error})",
            "check the disk and whether the folder is still there",
        ),
        sqlite3.SQLITE_NOMEM: ("memory is short", "free some memory, or work in smaller batches"),
        sqlite3.SQLITE_INTERRUPT: ("the work was interrupted", "try again"),
    }
    what, remedy = remedies.get(
        code, (str(error), "run `visavis gallery check`, or restore it from a backup")
    )
    kept = "; nothing of this write was kept" if unchanged else ""
    return GalleryError(f"the gallery {path}: {what}", remedy + kept)


T = TypeVar("T")

UNREADABLE: Final = (
    TypeError, ValueError, LookupError, AttributeError, ArithmeticError, struct.error,
)  # fmt: skip
"""Exceptions from reading damaged values."""

_SETTINGS = (
    "PRAGMA journal_mode = WAL",  # first: see ``_connect``
    "PRAGMA synchronous = FULL",  # a committed write survives a power failure
    "PRAGMA secure_delete = ON",  # deleted data are overwritten
    "PRAGMA foreign_keys = ON",
    "PRAGMA temp_store = MEMORY",  # templates are never written to a temporary folder
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA cache_size = -16384",
    # Checkpoint every 64 MiB, so that a page changed by many enrollments is written once.
    "PRAGMA wal_autocheckpoint = 16384",
)


@dataclass(frozen=True, slots=True)
class State:
    """The one row of the table ``state``, see ``opening``."""

    clock: int
    floor: int
    generation: int
    erasing: bool
    audit_seal: bytes


def state_of(db: sqlite3.Connection) -> State:
    """Returns the current state.

    Raises:
        TypeError: the table is empty.
    """
    row = db.execute("SELECT clock, floor, generation, erasing, audit_seal FROM state").fetchone()
    clock, floor, generation, erasing, audit_seal = row
    return State(clock, floor, generation, bool(erasing), audit_seal)


class Readable(Protocol):
    """A readable database: a ``Database`` or an exported file."""

    def reading(self) -> contextlib.AbstractContextManager[tuple[sqlite3.Connection, State]]:
        """Yields a connection in a read transaction, and the state."""
        ...


class Database:
    """A connection used by one thread at a time.

    Args:
        path: the file; must exist.
        folder: the gallery, for messages.
        timeout: seconds to wait for other processes.

    A file in a folder that cannot be written is opened for reading; nobody else may write to it.

    Attributes:
        generation: generation of the key in use. If set, transactions begin only if it is current.
        read_only: whether folder or file cannot be written.
        explain: yields what is wrong with a damaged file in detail, for messages.

    Raises:
        GalleryError: the file cannot be opened.
    """

    def __init__(self, path: Path, *, folder: Path, timeout: float) -> None:
        self.path, self.folder = path, folder
        self._timeout = timeout
        self._lock = threading.RLock()
        self._process = os.getpid()
        self.generation: int | None = None
        self.explain: Callable[[sqlite3.Connection], Iterator[str]] | None = None
        self._lenient: set[int] = set()
        self._problem: str | None = None
        self._checked = 0.0
        self.read_only = not (os.access(folder, os.W_OK) and os.access(path, os.W_OK))
        with translate_errors(folder):
            found = path.stat()
            self._inode = (found.st_dev, found.st_ino)
            self._db = self._patiently(self._connect)
        self._open = True

    def _connect(self) -> sqlite3.Connection:
        where = self.path.absolute().as_uri()
        if self.read_only:
            self._require_closed()
            where += "?immutable=1"  # a log cannot be made here
        db = sqlite3.connect(
            where, uri=True, timeout=self._timeout, isolation_level=None, check_same_thread=False
        )
        try:
            for setting in _SETTINGS[self.read_only :]:
                db.execute(setting).fetchall()
        except BaseException:
            db.close()
            raise
        return db

    def _require_closed(self) -> None:
        log = self.path.with_name(f"{self.path.name}-wal")
        if log.is_file() and log.stat().st_size:
            raise GalleryError(
                f"the gallery {self.folder} is read-only, and was not closed by its last user",
                "open it once where it may be written: `visavis gallery info`",
            )

    def close(self) -> None:
        """Closes the file; further calls raise GalleryError."""
        with self._lock:
            if self._open:
                self._open = False
                with contextlib.suppress(sqlite3.Error):
                    self._db.close()

    @property
    def closed(self) -> bool:
        """Returns whether ``close`` was called."""
        return not self._open

    def size(self) -> int:
        """Bytes of all files of the gallery."""
        total = 0
        for path in self.folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size if path.is_file() else 0
        return total

    @contextmanager
    def alone(self) -> Iterator[sqlite3.Connection]:
        """Yields the connection outside a transaction, for this thread only."""
        with self._lock, translate_errors(self.folder):
            self._require_usable()
            yield self._db

    @contextmanager
    def reading(self) -> Iterator[tuple[sqlite3.Connection, State]]:
        """Runs a read transaction, which reads a consistent snapshot."""
        with self.alone() as db:
            state = self._patiently(lambda: self._begin("BEGIN"))
            try:
                self._require_sound()
                yield db, state
            except UNREADABLE as error:
                if isinstance(error, VisavisError) or not (problem := self.problem()):
                    raise
                raise damaged(self.folder, problem) from error
            finally:
                self._roll_back()

    @contextmanager
    def writing(self) -> Iterator[tuple[sqlite3.Connection, State]]:
        """Runs a write transaction: commits if the block succeeds, else rolls back.

        If the commit fails, the table is read to find out whether it took effect. An error is
        raised only if it did not.
        """
        with self.alone() as db:
            if self.read_only:
                raise GalleryError(
                    f"the gallery {self.folder}: it is read-only",
                    "allow writing to the folder and its files",
                )
            before = self._patiently(lambda: self._begin("BEGIN IMMEDIATE"))
            after: State | None = None
            try:
                self._require_sound()
                yield db, before
                after = self._state()
                tally.seal(db)
                self._patiently(lambda: db.execute("COMMIT"))
            except UNREADABLE as error:
                self._roll_back()
                if isinstance(error, VisavisError) or not (problem := self.problem()):
                    raise
                raise damaged(self.folder, problem) from error
            except sqlite3.Error as error:
                self._roll_back()
                if after is None:
                    raise translated(self.folder, error, unchanged=True) from error
                found = self._state_if_readable()
                if found != after or after == before:
                    unchanged = found == before != after
                    raise translated(self.folder, error, unchanged=unchanged) from error
            finally:
                self._roll_back()

    def problem(self, *, thorough: bool = True) -> str:
        """Returns the first thing that is not as it was written, or ""; in a transaction."""
        return next(soundness.problems(self._db, thorough=thorough), "")

    @contextmanager
    def lenient(self) -> Iterator[None]:
        """Lets this thread work with a damaged file; afterwards it is checked again."""
        self._lenient.add(threading.get_ident())
        try:
            yield
        finally:
            self._lenient.discard(threading.get_ident())
            self._problem = None

    def _require_sound(self) -> None:
        """Checks the file, once in a while; the caller has begun a transaction.

        Raises:
            GalleryDamagedError: rows are missing, or SQLite finds the file damaged.
        """
        if threading.get_ident() in self._lenient:
            return
        if not self._problem and time.monotonic() >= self._checked + COMPARED_EVERY:
            self._problem = None
        if self._problem is None:
            self._checked = time.monotonic()
            self._problem = self.problem(thorough=self.path.stat().st_size <= THOROUGH_UP_TO)
            if self._problem and self.explain is not None:
                self._problem = next(self.explain(self._db), self._problem)
        if self._problem:
            raise damaged(self.folder, self._problem)

    def truncate_log(self) -> bool:
        """Checkpoints the write-ahead log and truncates it.

        Returns:
            False if readers of other processes prevented that.
        """

        def attempt() -> bool:
            busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not busy

        with self.alone():
            end = time.monotonic() + self._timeout
            while not self._patiently(attempt):
                if time.monotonic() > end:
                    return False
                time.sleep(0.02)
            return True

    def vacuum(self) -> None:
        """Rewrites the database without deleted data."""
        with self.alone() as db:
            self._patiently(lambda: db.execute("VACUUM"))

    def _begin(self, how: str) -> State:
        self._db.execute(how)
        try:
            state = self._state()
            if self.generation not in {None, state.generation}:
                raise GalleryKeyError(
                    f"the key of the gallery {self.folder} was changed by another process",
                    "open it again with the new key",
                )
        except BaseException:
            self._roll_back()
            raise
        return state

    def _state(self) -> State:
        try:
            return state_of(self._db)
        except TypeError as error:
            raise GalleryError(
                f"the gallery {self.folder} has no state", "restore it from a backup"
            ) from error

    def _state_if_readable(self) -> State | None:
        try:
            return self._state()
        except (sqlite3.Error, GalleryError):
            return None

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")

    def _patiently(self, attempt: Callable[[], T]) -> T:
        """Retries while busy: SQLite's own timeout does not cover recovery and the last close."""
        end = time.monotonic() + self._timeout
        while True:
            try:
                return attempt()
            except sqlite3.Error as error:
                if not is_busy(error) or time.monotonic() > end:
                    raise
                time.sleep(random.uniform(0.002, 0.03))

    def _require_usable(self) -> None:
        if not self._open:
            raise GalleryError(f"the gallery {self.folder} is closed", "open it again")
        if os.getpid() != self._process:
            raise GalleryError(
                f"the gallery {self.folder} was opened in another process",
                "open it anew in each process",
            )
        try:
            found = self.path.stat()
        except FileNotFoundError:
            found = None
        if found is None or (found.st_dev, found.st_ino) != self._inode:
            raise GalleryError(
                f"the gallery {self.folder} was removed or replaced while it was open",
                "open it again",
            )


def exclusive(
    path: Path, *, folder: Path, timeout: float
) -> contextlib.AbstractContextManager[None]:
    """Holds a gallery's lock for erasing and writing snapshots; a dead process holds none.

    Args:
        path: the lock file.
        folder: the gallery, for messages.
        timeout: seconds to wait; 0: do not wait.

    Raises:
        GalleryBusyError: another process held the lock all the time.
    """
    return _exclusive(path, folder, timeout)


@contextmanager
def _exclusive(path: Path, folder: Path, timeout: float) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=timeout, mode=0o600, thread_local=False)
    with translate_errors(folder):
        try:
            lock.acquire(poll_interval=0.02)
        except Timeout as error:
            raise GalleryBusyError(
                f"the gallery {folder} is being compacted or erased from by another process",
                "wait for it to finish, or end it, and try again",
            ) from error
    try:
        yield
    finally:
        lock.release()
