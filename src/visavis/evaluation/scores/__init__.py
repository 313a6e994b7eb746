"""Reads and writes score files by extension; see ``table`` for the content."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from visavis.errors import DataError, require_extra, writing_to
from visavis.evaluation.scores.table import ScoreFile

__all__ = ["ScoreFile", "read", "require_known", "write"]


def write(path: Path, scores: ScoreFile) -> None:
    """Writes a score file atomically; creates the folder.

    Args:
        path: ends in ``.csv`` or ``.parquet``.
        scores: the score file.

    Raises:
        DataError: another extension, or the file cannot be written.
    """
    writer = _format(path).write
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        writer(path, scores)


def read(path: Path) -> ScoreFile:
    """Reads a score file.

    Args:
        path: ends in ``.csv`` or ``.parquet``.

    Raises:
        DataError: another extension, or an invalid file; names row and remedy.
    """
    found: ScoreFile = _format(path).read(path)
    return found


def require_known(path: Path) -> None:
    """Refuses an extension that no score file has.

    Raises:
        DataError: neither ``.csv`` nor ``.parquet``.
        MissingExtraError: ``.parquet`` without pyarrow.
    """
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise DataError(f"{path}: a score file of unknown kind", "name it .csv or .parquet")
    if path.suffix.lower() == ".parquet":
        require_extra("report", f"{path}, a Parquet file,", module="pyarrow")


def _format(path: Path) -> Any:
    """Returns the module for this kind of file."""
    require_known(path)
    return import_module(f"visavis.evaluation.scores.{path.suffix.lower()[1:]}")
