"""Text files of an album: whole or not there, and readable by their owner alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from visavis.errors import writing_to
from visavis.writing import replacing


@contextmanager
def private_text(path: Path) -> Iterator[TextIO]:
    """Yield a UTF-8 file that takes ``path``'s place if the block succeeds.

    It is readable by its owner alone: who is in which photo is nobody else's business.

    Raises:
        DataError: it cannot be written.
    """
    with (
        writing_to(path),
        replacing(path, private=True) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        yield file
