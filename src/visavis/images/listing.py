"""Which files of a folder are photos."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from visavis.errors import DataError

PHOTO_SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm"}
    | {".pgm", ".pbm", ".pnm", ".mpo", ".avif", ".jp2", ".heic", ".heif"}
)
"""What a photo's name ends with, in lower case."""


def photos_below(folder: Path, /) -> list[Path]:
    """Files below a folder, at any depth, that have a photo's suffix, sorted; hidden ones are left
    out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PHOTO_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def photos_by_person(root: Path, /) -> dict[str, list[Path]]:
    """Photos below each direct subfolder of ``root``, named by it, in order; people without any
    are left out.

    Raises:
        DataError: not a folder.
    """
    if not root.is_dir():
        raise DataError(f"{root}: not a folder", "give a folder that holds a folder a person")
    people: dict[str, list[Path]] = {}
    for person in sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")):
        found = photos_below(person)
        if found:
            people[person.name] = found
    return people
