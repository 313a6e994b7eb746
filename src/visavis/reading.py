"""Reads regular files only; never waits for a pipe or device."""

from __future__ import annotations

import errno
import os
import re
import stat
from io import BufferedReader
from pathlib import Path
from typing import Final

FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a pipe in the file's place would wait for a writer
)
"""For ``os.open``."""
_HANDED_OVER: Final = re.compile(r"/dev/(stdin|fd/\d+)|/proc/self/fd/\d+")


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading; a handed-over descriptor (``/dev/stdin``) may be a pipe.

    Raises:
        OSError: it cannot be opened, or is a folder, a pipe, a socket or a device.
    """
    if _HANDED_OVER.fullmatch(str(path)):
        return path.open("rb")
    descriptor = os.open(path, FLAGS)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(errno.EINVAL, f"{kind_of(mode)}, not a regular file", str(path))


def kind_of(mode: int) -> str:
    """Name the kind of a file that is not regular, by its ``st_mode``."""
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        OSError: see ``open_regular``.
    """
    with open_regular(path) as file:
        return file.read()


def read_text(path: Path) -> str:
    """Return the text of a regular UTF-8 file, without a byte order mark.

    Raises:
        OSError: see ``open_regular``.
        UnicodeDecodeError: not UTF-8.
    """
    return read_bytes(path).decode("utf-8-sig")
