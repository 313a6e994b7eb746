"""Score files, read and written by their extension; see ``table`` for what is in them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from visavis.errors import DataError, require_extra, writing_to
from visavis.evaluation.scores.table import ScoreFile

__all__ = ["ScoreFile", "read", "require_known", "write"]


def write(path: Path, scores: ScoreFile) -> None:
    """Write a score file whole or not at all; the folder is made.

    Args:
        path: ends in ``.csv`` or ``.parquet``.
        scores: what to write.

    Raises:
        DataError: another extension, or the file cannot be written.
    """
    writer = _format(path).write
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        writer(path, scores)


def read(path: Path) -> ScoreFile:
    """Read a score file.

    Args:
        path: ends in ``.csv`` or ``.parquet``.

    Raises:
        DataError: another extension, or the file is not as said above; names row and remedy.
    """
    found: ScoreFile = _format(path).read(path)
    return found


def require_known(path: Path) -> None:
    """Refuse an extension that no score file has.

    Raises:
        DataError: it is neither ``.csv`` nor ``.parquet``.
        MissingExtraError: it is ``.parquet``, and pyarrow is not installed.
    """
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise DataError(f"{path}: a score file of unknown kind", "name it .csv or .parquet")
    if path.suffix.lower() == ".parquet":
        require_extra("report", f"{path}, a Parquet file,", module="pyarrow")


def _format(path: Path) -> Any:
    """The module that reads and writes this kind of file."""
    require_known(path)
    return import_module(f"visavis.evaluation.scores.{path.suffix.lower()[1:]}")
