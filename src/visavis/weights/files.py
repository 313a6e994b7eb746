"""Hashes files, and writes to the home folder atomically and with locks."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from visavis import writing
from visavis.errors import ModelError, ModelUnavailableError
from visavis.reading import open_regular

# A recently written file could change again within one clock tick of the file system and look the
# same, so its hash is not cached. FAT's ticks are two seconds.
_SETTLED_NS: Final = 2_000_000_000

_Identity = tuple[int, int, int, int, int]

_known: dict[str, tuple[_Identity, str]] = {}


def sha256_of(path: Path, *, afresh: bool = False) -> str:
    """Returns the SHA-256 of a file, 64 lower-case hexadecimal digits.

    Cached in this process by path, device, inode, size and both change times. Not cached on disk:
    10 MB take only 7 ms on one core (SHA extensions).

    Args:
        afresh: read the file even if the hash is cached.

    Raises:
        OSError: the file cannot be read.
    """
    with open_regular(path) as file:
        stat = os.fstat(file.fileno())
        identity = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        known = _known.get(str(path))
        if known is not None and known[0] == identity and not afresh:
            return known[1]
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) > _SETTLED_NS:
        _known[str(path)] = (identity, digest)
    else:
        _known.pop(str(path), None)
    return digest


def cannot_write(path: Path, error: OSError) -> ModelError:
    """Returns the error for a failed write."""
    return ModelError(
        f"{path} cannot be written ({error.strerror or error})",
        "make room or allow writing there, or choose another home folder (VISAVIS_HOME for the "
        "commands)",
    )


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Opens a new file that replaces ``path`` if the block succeeds.

    The name always refers to the old or the complete new file, also after a crash.

    Raises:
        ModelError: the folder or the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing.replacing(path, durable=True) as temporary, temporary.open("wb") as file:
            yield file
    except OSError as error:
        raise cannot_write(path, error) from error


def discard_partial(path: Path) -> None:
    """Deletes partial files of killed writers of ``path``. The caller holds the lock."""
    for left in path.parent.glob(f".{path.name}.{8 * '[0-9a-f]'}"):
        with contextlib.suppress(OSError):
            left.unlink()


@contextmanager
def locked(path: Path, *, timeout: float) -> Iterator[None]:
    """Locks a file across processes; released if the process ends.

    Args:
        timeout: seconds to wait for the lock.

    Raises:
        ModelError: the folder cannot be written.
        ModelUnavailableError: another process held it for that time.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=timeout)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise ModelUnavailableError(
            f"{path} is being written by another process for {timeout:g} s",
            "wait for it to finish, or end it, and try again",
        ) from error
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield
    finally:
        lock.release()
