"""Erases data from all files of a gallery.

An erasure holds the gallery's lock and deletes in one transaction, which also sets ``erasing``.
Then it deletes the index snapshots, rewrites the database, truncates the write-ahead log, and
clears ``erasing``. SQLite's ``secure_delete`` overwrites deleted rows, but not the copies in unused
parts of pages that B-trees leave when rows move: hence the rewrite. A process that finds
``erasing`` set while nobody holds the lock (a killed process, a full disk) finishes the work.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import TypeVar

from visavis.errors import (
    ErasureIncompleteError,
    GalleryBusyError,
    GalleryDamagedError,
    GalleryError,
)
from visavis.gallery.sqlite.database import Database, State, exclusive, translate_errors
from visavis.gallery.sqlite.nonmated_cache import drop_scores

T = TypeVar("T")


class Erased(IntEnum):
    """Kind of data that a transaction deleted."""

    NOTHING = 0
    NAMES = 1
    TEMPLATES = 2


class Eraser:
    """Erases from one gallery.

    Args:
        database: open database.
        index: folder of the snapshots.
        timeout: seconds to wait for other processes.
    """

    def __init__(self, database: Database, index: Path, *, timeout: float) -> None:
        self._database, self._index, self._timeout = database, index, timeout
        self._folder = database.folder

    def lock(self, *, timeout: float | None = None) -> contextlib.AbstractContextManager[None]:
        """Prevents other processes from erasing and writing snapshots.

        Raises:
            GalleryBusyError: another process held the lock for too long.
        """
        wait = self._timeout if timeout is None else timeout
        return exclusive(self._folder / ".lock", folder=self._folder, timeout=wait)

    def erase(self, delete: Callable[[sqlite3.Connection, State], tuple[T, Erased]]) -> T:
        """Runs ``delete`` in a transaction and cleans all files.

        Raises:
            GalleryBusyError: another process held the lock for too long, and nothing was deleted;
                or it kept the log in use, as the message says: then the data are deleted, and the
                files are cleaned when the gallery is next opened.
            ErasureIncompleteError: the data are deleted, but the files could not be cleaned (full
                disk); they are cleaned when the gallery is next opened.
        """
        with self.lock():
            with self._database.writing() as (db, state):
                result, erased = delete(db, state)
                if erased is Erased.NOTHING:
                    return result
                db.execute("UPDATE state SET erasing = 1")
                if erased is Erased.TEMPLATES:
                    db.execute("DELETE FROM snapshot")
                    drop_scores(db)
            self.rewrite_locked("done, and no later answer contains it")
            return result

    def rewrite(self) -> None:
        """Rewrites the whole database."""
        with self.lock():
            self._clean()

    def rewrite_locked(self, done: str) -> None:
        """Rewrites the whole database after all of it has changed; the caller holds the lock.

        Args:
            done: the change, for error messages.

        Raises:
            ErasureIncompleteError: the change took effect, but the files could not be cleaned.
        """
        try:
            self._clean()
        except (GalleryBusyError, GalleryDamagedError):
            raise
        except GalleryError as error:
            raise ErasureIncompleteError(
                f"{done}, but bytes of what was erased or replaced may still be in its files "
                f"({error.got})",
                f"{error.remedy}, then run `visavis gallery compact`: that erases them",
            ) from error

    def finish_if_left(self) -> None:
        """Completes an erasure left unfinished by a process that no longer works on it.

        Raises:
            ErasureIncompleteError: it cannot be completed (full disk); the gallery is usable.
        """
        with self._database.reading() as (_, state):
            if not state.erasing or self._database.read_only:
                return
        with contextlib.suppress(GalleryBusyError), self.lock(timeout=0):
            with self._database.reading() as (_, state):
                left = state.erasing
            if left:
                self.rewrite_locked("the gallery can be used")

    def _clean(self) -> None:
        self.drop_stale_snapshots()
        self._truncate()  # frees space
        self._database.vacuum()
        self._truncate()
        # All is clean. If ``erasing`` stays set, the next opening only cleans again.
        with contextlib.suppress(GalleryError), self._database.writing() as (db, _):
            db.execute("UPDATE state SET erasing = 0")

    def drop_stale_snapshots(self) -> None:
        """Deletes index files that the table does not list; the caller holds the lock."""
        with self._database.reading() as (db, _):
            kept = {name for (name,) in db.execute("SELECT file FROM snapshot")}
        with translate_errors(self._folder):
            for path in self._index.iterdir():
                if path.name not in kept:
                    path.unlink(missing_ok=True)

    def _truncate(self) -> None:
        if not self._database.truncate_log():
            raise GalleryBusyError(
                f"done, and no later answer contains it, but another process keeps reading the "
                f"gallery {self._folder}, so bytes of what was erased are still in its log",
                "end that process and open the gallery again (`visavis gallery info` does): that "
                "erases them",
            )
