"""Reads CSV tables tolerantly: with a BOM, with semicolons, with any script."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from visavis.errors import DataError
from visavis.reading import read_text

_TRUE: Final = frozenset({"1", "true", "yes"})
_FALSE: Final = frozenset({"0", "false", "no"})


@dataclass(frozen=True, slots=True)
class Table:
    """The content of a CSV file.

    Attributes:
        path: the file.
        columns: header names, in lower case, stripped.
        rows: cells of each row after the header.
        numbers: row number of each; the header is row 1, as in spreadsheets.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[int, ...]

    def records(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yields row number and cells by column name."""
        for number, row in zip(self.numbers, self.rows, strict=True):
            yield number, dict(zip(self.columns, row, strict=True))

    def error(self, number: int, got: str, remedy: str) -> DataError:
        """Returns a DataError that names this file and the row."""
        return DataError(f"{self.path}, row {number}: {got}", remedy)


def read_table(path: Path, *, required: Mapping[str, str]) -> Table:
    """Reads a CSV file with a header.

    UTF-8 with or without a byte order mark; separated by commas, semicolons or tabs, according to
    the header; empty rows are skipped.

    Args:
        path: the file.
        required: required columns, each with its description.

    Raises:
        DataError: no such file, not UTF-8 text, a missing or duplicate column, or a row with
            another number of cells than the header.
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror})", "give the path of a CSV file"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.start} is not UTF-8 text", "save the file as CSV in UTF-8"
        ) from error
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[str, ...]] = []
    numbers: list[int] = []
    columns: tuple[str, ...] = ()
    number = 0
    while True:
        number += 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise DataError(
                f"{path}, row {number}: {error}", "close every quote, and double quotes inside"
            ) from error
        if row is None:
            break
        if not any(cell.strip() for cell in row):
            continue
        if not columns:
            columns = _header(path, row, required)
            continue
        if len(row) != len(columns):
            raise DataError(
                f"{path}, row {number}: {len(row)} cells under {len(columns)} columns",
                "give each row one cell a column, and quote cells that hold the separator",
            )
        rows.append(tuple(row))
        numbers.append(number)
    if not columns:
        raise DataError(f"{path}: an empty file", f"give a header with {', '.join(required)}")
    return Table(path, columns, tuple(rows), tuple(numbers))


def _header(path: Path, row: list[str], required: Mapping[str, str]) -> tuple[str, ...]:
    columns = tuple(cell.strip().lower() for cell in row)
    for name, meaning in required.items():
        if name not in columns:
            raise DataError(
                f"{path}: no column {name!r} in the header ({_some(columns)})",
                f"add one that holds {meaning}",
            )
    name, count = Counter(columns).most_common(1)[0]
    if count > 1:
        raise DataError(f"{path}: column {name!r} occurs twice", "keep one of them")
    return columns


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def parse_flag(text: str) -> bool | None:
    """Parses ``1``, ``true``, ``yes`` and ``0``, ``false``, ``no`` in any case; ``None`` for
    others.

    >>> parse_flag("Yes"), parse_flag("0"), parse_flag("maybe")
    (True, False, None)
    """
    plain = text.strip().lower()
    return True if plain in _TRUE else False if plain in _FALSE else None
