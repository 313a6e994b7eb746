"""Writes files atomically, and makes files and folders that only their owner can read.

Files with faces or templates are written with ``private``: mode 0600, in folders of 0700.
``docs/concepts/privacy.md`` lists them all.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path, *, private: bool = False, durable: bool = False) -> Iterator[Path]:
    """Yield a name beside ``path`` to write to; it takes ``path``'s place if the block succeeds.

    Args:
        path: the file, in a folder that exists.
        private: only its owner can ever read it; otherwise the umask decides.
        durable: on return the file is on the disk, under its name.

    Raises:
        OSError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    mode = 0o600 if private else 0o666
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    try:
        yield temporary
        if private:
            temporary.chmod(0o600)  # some libraries create a new file
        if durable:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
        if durable:
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can do that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def private_file(path: Path) -> None:
    """Creates an empty file that only its owner can read; an existing one keeps its content.

    Raises:
        OSError: it cannot be made.
    """
    path.touch(mode=0o600)
    path.chmod(0o600)


def private_folder(path: Path) -> None:
    """Creates a folder that only its owner can enter, if missing.

    An existing folder keeps its mode. Missing parent folders are made with the usual mode.

    Raises:
        OSError: it cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
