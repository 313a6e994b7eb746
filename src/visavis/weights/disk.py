"""Writing to the home folder: whole or not at all, one writer at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from visavis import writing
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

    Under the name there is always the old file or the whole new one, also after a crash.

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
    """Delete what killed writers of ``path`` left behind. Hold the lock of ``path``."""
    for left in path.parent.glob(f".{path.name}.{8 * '[0-9a-f]'}"):
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
