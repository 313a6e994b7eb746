"""What goes wrong beneath a gallery of files, in words its user can act on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from visavis.errors import GalleryBusyError, GalleryDamagedError, GalleryError, VisavisError

_PRIMARY = 0xFF


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection holds what was wanted, so that trying again may help."""
    return _code(error) in {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PROTOCOL,
    }


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and of the operating system into gallery errors.

    Args:
        path: the gallery's folder, for the message.

    Raises:
        GalleryBusyError: another process held the gallery for too long.
        GalleryDamagedError: a file is not a database or not a sound one.
        GalleryError: anything else, such as a full disk or a folder that cannot be written.
    """
    try:
        yield
    except VisavisError:
        raise
    except sqlite3.Error as error:
        raise translated(path, error) from error
    except OSError as error:
        raise GalleryError(
            f"the gallery {path}: {error.strerror or error}",
            "make room or allow reading and writing there",
        ) from error


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & _PRIMARY


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the error means that the file is damaged or not a database."""
    return _code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def translated(path: Path, error: sqlite3.Error, *, unchanged: bool = False) -> GalleryError:
    """The gallery error for an error of SQLite.

    Args:
        path: the gallery's folder, for the message.
        error: what SQLite raised.
        unchanged: add that nothing of the write was kept; the caller has checked this.
    """
    code = _code(error)
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
