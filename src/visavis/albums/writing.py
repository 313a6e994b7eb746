"""Files that are whole or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from visavis.errors import DataError


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Yield a UTF-8 file that takes ``path``'s place if the block succeeds.

    It is readable by its owner alone: who is in which photo is nobody else's business.

    Raises:
        DataError: it cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(
                handle, "w", encoding="utf-8", errors="backslashreplace", newline=""
            ) as file:
                yield file
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror or error})", "choose another folder"
        ) from error
