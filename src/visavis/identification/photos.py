"""Lists photos with their person: from one name, a folder per person, or a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from visavis.errors import DataError, decoding
from visavis.images import describe, photos_below
from visavis.reading import open_regular

_PERSON: Final = "person"
_PATH: Final = "path"
_JSON: Final = "attributes"
_REMEDY: Final = "the table is a CSV in UTF-8 whose first line names the columns person and path"


@dataclass(frozen=True, slots=True)
class PersonPhoto:
    """A photo to enroll.

    Attributes:
        person: name.
        photo: its path, or its bytes.
        source: its name in results; ``""``: the path.
        attributes: JSON values to attach to the person.
    """

    person: str
    photo: Path | bytes = field(repr=False)
    source: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the photo in results and messages."""
        return self.source or describe(self.photo)


def of_one(person: str, photos: Sequence[Path]) -> list[PersonPhoto]:
    """Returns photos of one person, from files and from folders (with subfolders).

    Raises:
        DataError: a folder without photos.
    """
    found: list[PersonPhoto] = []
    for path in photos:
        inside = photos_below(path) if path.is_dir() else [path]
        if not inside:
            raise DataError(f"{path}: a folder without photos", "give photos of the person")
        found += [PersonPhoto(person, photo) for photo in inside]
    return found


def of_folders(root: Path) -> list[PersonPhoto]:
    """Returns photos from a folder with one subfolder per person, named after the person.

    Photos directly in ``root``, and hidden files, are left out; see ``strays``.

    Raises:
        DataError: not a folder, or one without folders of photos.
    """
    remedy = "give a folder that holds a folder for each person, or say --name for one person"
    if not root.is_dir():
        raise DataError(f"{root}: not a folder", remedy)
    found = [
        PersonPhoto(folder.name, photo)
        for folder in sorted(root.iterdir())
        if folder.is_dir() and not folder.name.startswith(".")
        for photo in photos_below(folder)
    ]
    if not found:
        raise DataError(f"{root}: no folder in it holds photos", remedy)
    return found


def strays(root: Path) -> list[Path]:
    """Returns photos directly in ``root``, which belong to nobody."""
    return [path for path in photos_below(root) if path.parent == root]


def of_table(table: Path) -> list[PersonPhoto]:
    """Returns photos listed in a CSV with the columns ``person`` and ``path``.

    Paths are relative to the table's folder. The column ``attributes`` holds a JSON object; every
    other column is an attribute as text, if not empty. Attributes of several rows of one person are
    merged and must agree. Rows are sorted by person, in order of first appearance.

    Raises:
        DataError: the table cannot be read, lacks a column, or has an invalid line.
    """
    found: dict[str, list[PersonPhoto]] = {}
    said: dict[str, dict[str, tuple[Any, int]]] = {}
    for line, row in _rows(table):
        person, path = (row.get(_PERSON) or "").strip(), (row.get(_PATH) or "").strip()
        if not person or not path:
            raise DataError(
                f"{table}, line {line}: no {_PATH if person else _PERSON}",
                "fill in both person and path",
            )
        own = said.setdefault(person, {})
        for key, value in _attributes(table, line, row).items():
            if key in own and own[key][0] != value:
                raise DataError(
                    f"{table}, line {line}: {key} of {person} is {value!r}, and {own[key][0]!r} "
                    f"on line {own[key][1]}",
                    "say it once, or the same each time",
                )
            own.setdefault(key, (value, line))
        found.setdefault(person, []).append(PersonPhoto(person, table.parent / path))
    if not found:
        raise DataError(f"{table}: a table without rows", _REMEDY)
    return [
        PersonPhoto(person, row.photo, attributes={k: v for k, (v, _) in said[person].items()})
        for person, rows in found.items()
        for row in rows
    ]


def _rows(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with io.TextIOWrapper(open_regular(table), "utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [title.strip() for title in next(reader, [])]
            lower = [title.lower() if title.lower() in {_PERSON, _PATH, _JSON} else title
                     for title in header]  # fmt: skip
            missing = [title for title in (_PERSON, _PATH) if title not in lower]
            if missing:
                raise DataError(
                    f"{table}: no column {' and no column '.join(missing)}, but "
                    f"{', '.join(header) or 'nothing'}",
                    _REMEDY,
                )
            if len(set(lower)) < len(lower) or "" in lower:
                raise DataError(
                    f"{table}: two columns of one name, or one without", "name each column once"
                )
            for row in reader:
                if not any(cell.strip() for cell in row):
                    continue
                if len(row) != len(lower):
                    raise DataError(
                        f"{table}, line {reader.line_num}: {len(row)} cells under {len(lower)} "
                        "columns",
                        "put cells that contain a comma in double quotes",
                    )
                yield reader.line_num, dict(zip(lower, row, strict=True))
    except UnicodeDecodeError as error:
        raise DataError(f"{table}: not UTF-8 ({error.reason})", "save it as UTF-8") from error
    except (OSError, csv.Error) as error:
        raise DataError(f"{table} ({error})", _REMEDY) from error


def _attributes(table: Path, line: int, row: Mapping[str, str]) -> dict[str, Any]:
    own: dict[str, Any] = {
        key: value.strip()
        for key, value in row.items()
        if key not in {_PERSON, _PATH, _JSON} and value.strip()
    }
    text = (row.get(_JSON) or "").strip()
    if not text:
        return own
    remedy = 'write an object, such as {"department": "press"}'
    with decoding(f"{table}, line {line}: attributes", DataError, remedy):
        return own | msgspec.json.decode(text, type=dict[str, Any])
