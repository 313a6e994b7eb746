"""Lists the photos of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from visavis.errors import DataError

PHOTO_SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm"}
    | {".pgm", ".pbm", ".pnm", ".mpo", ".avif", ".jp2", ".heic", ".heif"}
)
"""Suffixes of photos, in lower case."""


def photos_below(folder: Path, /) -> list[Path]:
    """Returns photos below a folder, by suffix, sorted; without hidden files."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PHOTO_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def photos_by_person(root: Path, /) -> dict[str, list[Path]]:
    """Returns photos of each direct subfolder of ``root`` by its name, sorted; without empty ones.

    Raises:
        DataError: not a folder.
    """
    if not root.is_dir():
        raise DataError(f"{root}: not a folder", "give a folder with one subfolder per person")
    people: dict[str, list[Path]] = {}
    for person in sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")):
        found = photos_below(person)
        if found:
            people[person.name] = found
    return people
