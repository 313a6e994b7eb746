"""Reads CSV files of must-links and cannot-links between faces."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from visavis.albums.planning import Link
from visavis.albums.references import References
from visavis.errors import DataError, VisavisError
from visavis.reading import open_regular


def read(path: Path, references: References, *, must: bool) -> list[Link]:
    """Reads links from a CSV file: two faces per line, in the form of
    ``visavis.albums.references``.

    A first line ``a,b`` is a header; empty lines and lines that start with ``#`` and a space are
    skipped. Quoted cells may contain commas and line ends.

    Args:
        path: the file, UTF-8.
        references: looks the faces up.
        must: whether the pairs are one person (else two).

    Raises:
        DataError: it cannot be read, or a line does not name two faces of the collection.
    """
    links = []
    try:
        with io.TextIOWrapper(open_regular(path), "utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            first = True
            for row in rows:
                cells = [cell.strip() for cell in row]
                if not any(cells) or cells[0].startswith("# "):
                    continue
                heading, first = first and [cell.lower() for cell in cells] == ["a", "b"], False
                if not heading:
                    links.append(
                        _link(cells, f"{path.name}, line {rows.line_num}", references, must=must)
                    )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error})", "give a CSV file in UTF-8") from error
    return links


def _link(cells: list[str], source: str, references: References, *, must: bool) -> Link:
    if len(cells) != 2:
        raise DataError(f"{source}: {len(cells)} cells", "give two faces a line: f12,f15")
    try:
        a, b = references.faces(cells)
    except VisavisError as error:
        raise DataError(f"{source}: {error.got}", error.remedy) from error
    return Link(a, b, must, source)
