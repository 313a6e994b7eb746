"""Which files of a folder are photos."""

from __future__ import annotations

from pathlib import Path
from typing import Final

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
