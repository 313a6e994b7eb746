"""Writes private text files atomically."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from visavis.errors import writing_to
from visavis.writing import replacing


@contextmanager
def private_text(path: Path) -> Iterator[TextIO]:
    """Yields a UTF-8 file that replaces ``path`` if the block succeeds.

    Readable by its owner only, because it says who is in which photo.

    Raises:
        DataError: it cannot be written.
    """
    with (
        writing_to(path),
        replacing(path, private=True) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        yield file
