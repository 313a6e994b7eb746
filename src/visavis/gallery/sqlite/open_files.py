"""Reading a database's file beside SQLite without breaking its locks.

POSIX drops all locks that a process has on a file when the process closes *any* descriptor of it.
So each file gets one descriptor here, opened before SQLite opens the file and closed after the last
connection of this process is.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

Inode = tuple[int, int]

_guard = threading.Lock()
_descriptors: dict[Inode, tuple[int, int]] = {}  # descriptor and how many hold it


def acquire_fd(path: Path) -> Inode:
    """Open a file for ``read``, once a process; call ``release_fd`` after its last use.

    Raises:
        OSError: it cannot be opened.
    """
    with _guard:
        found = path.stat()
        inode = (found.st_dev, found.st_ino)
        descriptor, users = _descriptors.get(inode, (-1, 0))
        if not users:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            found = os.fstat(descriptor)
            inode = (found.st_dev, found.st_ino)
        _descriptors[inode] = (descriptor, users + 1)
        return inode


def release_fd(inode: Inode) -> None:
    """Undo one ``acquire_fd``."""
    with _guard:
        descriptor, users = _descriptors[inode]
        if users > 1:
            _descriptors[inode] = (descriptor, users - 1)
        else:
            del _descriptors[inode]
            os.close(descriptor)


def read(inode: Inode, *, step: int, overlap: int) -> Iterator[bytes]:
    """The file from its start in pieces, each beginning with the end of the one before.

    Args:
        inode: from ``acquire_fd``.
        step: new bytes in a piece.
        overlap: bytes that are given again.
    """
    start = 0
    while piece := _piece(inode, step + overlap, start):
        yield piece
        start += step


def _piece(inode: Inode, size: int, start: int) -> bytes:
    with _guard:
        descriptor, _ = _descriptors[inode]
        os.lseek(descriptor, start, os.SEEK_SET)
        return os.read(descriptor, size)
