"""Writing to the home folder: whole or not at all, one writer at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from visavis.errors import ModelError, ModelUnavailableError


def cannot_write(path: Path, error: OSError) -> ModelError:
    """What to raise where the operating system refuses to write."""
    return ModelError(
        f"{path} cannot be written ({error.strerror or error})",
        "make room or allow writing there, or choose another home folder (VISAVIS_HOME for the "
        "commands)",
    )


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of ``path`` when the block ends well.

    It is written beside ``path`` under a hidden name, synced to disk and renamed, so under the
    final name there is always the old file or the whole new one. After an error nothing is kept.

    Raises:
        ModelError: the folder or the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last, where folders can be synced (not on Windows)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def discard_partial(path: Path) -> None:
    """Delete what killed writers of ``path`` left behind. Hold the lock of ``path``."""
    for left in path.parent.glob(f".{path.name}.*.part"):
        with contextlib.suppress(OSError):
            left.unlink()


@contextmanager
def locked(path: Path, *, timeout: float) -> Iterator[None]:
    """Hold the lock of a file, across processes; it ends with the process that holds it.

    Args:
        timeout: seconds to wait for another holder.

    Raises:
        ModelError: the folder cannot be written.
        ModelUnavailableError: somebody else held it for all that time.
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
