"""Lists of faces that are one person, or two: CSV files."""

from __future__ import annotations

import csv
from pathlib import Path

from visavis.albums.planning import Link
from visavis.albums.references import References
from visavis.errors import DataError, VisavisError


def read(path: Path, references: References, *, must: bool) -> list[Link]:
    """Links of a CSV file: two faces a line, as ``visavis.albums.references`` writes them.

    A first line ``a,b`` is a heading; lines that are empty or start with ``#`` are passed over.

    Args:
        path: the file, UTF-8.
        references: looks the faces up.
        must: whether the pairs are one person (or two).

    Raises:
        DataError: it cannot be read, or a line is not two faces of the collection.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})", "give a CSV file in UTF-8") from error
    links = []
    for line, text in enumerate(lines, start=1):
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        cells = [cell.strip() for cell in next(csv.reader([text]))]
        if line == 1 and [cell.lower() for cell in cells] == ["a", "b"]:
            continue
        source = f"{path.name}, line {line}"
        if len(cells) != 2:
            raise DataError(f"{source}: {len(cells)} cells", "give two faces a line: f12,f15")
        try:
            a, b = references.faces(cells)
        except VisavisError as error:
            raise DataError(f"{source}: {error.got}", error.remedy) from error
        links.append(Link(a, b, must, source))
    return links
