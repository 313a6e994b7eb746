"""Photos named on a command line: files, folders, and what became of each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from visavis.errors import ImageNotFoundError
from visavis.images import PHOTO_SUFFIXES, photos_below


def gather(names: Iterable[str]) -> list[Path]:
    """Files as named; for a folder all files below it that have a photo's suffix, sorted.

    Raises:
        ImageNotFoundError: a folder holds no photo.
    """
    found: list[Path] = []
    for name in names:
        path = Path(name)
        if not path.is_dir():
            found.append(path)
            continue
        inside = photos_below(path)
        if not inside:
            raise ImageNotFoundError(
                f"{path}: a folder without photos", f"accepted: {' '.join(sorted(PHOTO_SUFFIXES))}"
            )
        found.extend(inside)
    return found
