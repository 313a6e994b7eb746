"""Text files of an album: whole or not there, and readable by their owner alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from visavis.errors import DataError
from visavis.writing import replacing


@contextmanager
def private_text(path: Path) -> Iterator[TextIO]:
    """Yield a UTF-8 file that takes ``path``'s place if the block succeeds.

    It is readable by its owner alone: who is in which photo is nobody else's business.

    Raises:
        DataError: it cannot be written.
    """
    try:
        with (
            replacing(path, private=True) as temporary,
            temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
        ):
            yield file
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror or error})", "choose another folder"
        ) from error
