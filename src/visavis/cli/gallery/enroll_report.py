"""The CSV report of an enrollment, written row by row."""

from __future__ import annotations

import csv
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from visavis.errors import OptionError

if TYPE_CHECKING:
    from visavis.api.records import EnrollRow

COLUMNS = (
    *("photo", "person", "status", "quality_score", "faces_found", "own_score"),
    *("resembles", "resembles_score", "warnings", "message"),
)


class RowReport:
    """Collects rows, and writes them to a CSV at once if a path is given.

    Args:
        path: the CSV; replaces an older one.

    Raises:
        OptionError: it cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self.rows: list[EnrollRow] = []
        self.counts: Counter[str] = Counter()
        self._path = path
        self._file: IO[str] | None = None
        if path is not None:
            try:
                self._file = path.open("w", encoding="utf-8", newline="", errors="backslashreplace")
            except OSError as error:
                raise OptionError(
                    f"{path} cannot be written ({error.strerror or error})", "name another --report"
                ) from error
            self._write(COLUMNS)

    def add(self, row: EnrollRow) -> None:
        """Adds the result of a photo."""
        self.rows.append(row)
        self.counts[row.status] += 1
        self._write(tuple(_cell(getattr(row, column)) for column in COLUMNS))

    def _write(self, cells: tuple[str, ...]) -> None:
        if self._file is not None:
            try:
                csv.writer(self._file).writerow(cells)
                self._file.flush()
            except OSError as error:
                raise OptionError(
                    f"{self._path} cannot be written ({error.strerror or error})",
                    "make room or name another --report; what was enrolled is kept",
                ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with suppress(OSError):  # every row was flushed; errors were reported
                self._file.close()


def _cell(value: object) -> str:
    if isinstance(value, tuple):
        return "; ".join(str(one) for one in value)
    if isinstance(value, float):
        return f"{value:.4f}"
    return "" if value is None else str(value)
