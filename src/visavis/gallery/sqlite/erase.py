"""Deleting so that nothing is left in any file of the gallery.

An erasure holds the gallery's lock, deletes in one transaction that also notes ``erasing``, then
drops the index snapshots, writes the database anew, empties the write-ahead log, and clears the
note. SQLite's ``secure_delete`` overwrites what is deleted, but not the copies that its B-trees
leave in unused parts of a page when rows move to another page: hence the new database. Whoever
finds the note with nobody holding the lock (the eraser was killed, or its disk was full) finishes
the work.
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
    """What a transaction deleted."""

    NOTHING = 0
    NAMES = 1
    TEMPLATES = 2


class Eraser:
    """Erases from one gallery.

    Args:
        database: open.
        index: the folder of snapshots.
        timeout: seconds to wait for other processes.
    """

    def __init__(self, database: Database, index: Path, *, timeout: float) -> None:
        self._database, self._index, self._timeout = database, index, timeout
        self._folder = database.folder

    def lock(self, *, timeout: float | None = None) -> contextlib.AbstractContextManager[None]:
        """Keep others from erasing and from writing snapshots.

        Raises:
            GalleryBusyError: another process held it for too long.
        """
        wait = self._timeout if timeout is None else timeout
        return exclusive(self._folder / ".lock", folder=self._folder, timeout=wait)

    def erase(self, delete: Callable[[sqlite3.Connection, State], tuple[T, Erased]]) -> T:
        """Run ``delete`` in a transaction and make sure that nothing of it is left.

        Raises:
            GalleryBusyError: another process kept its hold for too long: either the lock, and
                nothing was deleted; or the log, as the message says: then what was deleted is gone
                from the gallery, and the files are cleaned when it is next opened.
            ErasureIncompleteError: what was deleted is gone from the gallery, but the files could
                not be cleaned (a full disk); they are cleaned when it is next opened.
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
            self.rewrite_locked("done, and no answer knows of it any more")
            return result

    def rewrite(self) -> None:
        """Rewrite the whole database."""
        with self.lock():
            self._clean()

    def rewrite_locked(self, done: str) -> None:
        """Rewrite the whole database after everything in it has changed. Hold the lock.

        Args:
            done: the change, for the message of an error.

        Raises:
            ErasureIncompleteError: the change is made, but the files could not be cleaned.
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
        """Complete an erasure that another process left unfinished, unless one is working on it.

        Raises:
            ErasureIncompleteError: it cannot be completed (a full disk); the gallery can be used.
        """
        with self._database.reading() as (_, state):
            if not state.erasing:
                return
        with contextlib.suppress(GalleryBusyError), self.lock(timeout=0):
            with self._database.reading() as (_, state):
                left = state.erasing
            if left:
                self.rewrite_locked("the gallery can be used")

    def _clean(self) -> None:
        self.drop_stale_snapshots()
        self._truncate()  # which makes room
        self._database.vacuum()
        self._truncate()
        # All is clean. If the note stays, the next opening only cleans again.
        with contextlib.suppress(GalleryError), self._database.writing() as (db, _):
            db.execute("UPDATE state SET erasing = 0")

    def drop_stale_snapshots(self) -> None:
        """Delete index files that the table does not name. Hold the lock."""
        with self._database.reading() as (db, _):
            kept = {name for (name,) in db.execute("SELECT file FROM snapshot")}
        with translate_errors(self._folder):
            for path in self._index.iterdir():
                if path.name not in kept:
                    path.unlink(missing_ok=True)

    def _truncate(self) -> None:
        if not self._database.truncate_log():
            raise GalleryBusyError(
                f"done, and no answer knows of it any more, but another process reads the gallery "
                f"{self._folder} without end, so bytes of what was erased are still in its log",
                "end that process and open the gallery again (`visavis gallery info` does): that "
                "erases them",
            )
