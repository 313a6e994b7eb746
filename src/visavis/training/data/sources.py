"""Photos of people in the layouts they come in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike

from visavis import images
from visavis.errors import DataError, OptionError
from visavis.images import PHOTO_SUFFIXES, photos_by_person


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo of one person, a file of its own.

    Attributes:
        person: whose.
        name: relative to its source and stable between machines, such as ``Ann/ann_0001.jpg``;
            each once in a pack.
        path: the file its bytes are in.
        offset: where its record begins, in a file of many (``rec.RecordPhoto``).
    """

    person: str
    name: str
    path: Path
    offset: int = 0

    def read(self) -> bytes:
        """The encoded photo.

        Raises:
            ImageError: it cannot be read.
        """
        return images.read_bytes(self.path, name=self.name)


Part = Literal["train", "test"]
_PARTS: Final = ("train", "test")


def folders(root: Path, *, part: Part = "train") -> tuple[Photo, ...]:
    """Photos from one folder per person: own photos, CASIA-WebFace, VGGFace2.

    Two forms of it: folders of people directly in ``root`` (CASIA-WebFace; a lone folder around
    them is passed through, as archives often unpack), or in ``root/train`` and ``root/test``
    (VGGFace2), of which one part is taken.

    Args:
        root: the folder.
        part: which part, where there are two.

    Raises:
        DataError: not a folder, or no photos in folders of people.
        OptionError: no such part.
    """
    if part not in _PARTS:
        raise OptionError(f"part {part!r}", "choose train or test")
    people = photos_by_person(_innermost(root, part))
    if not people:
        raise DataError(
            f"{root}: no photos in folders of people",
            "give a folder with one subfolder per person",
        )
    return of_people(people, root)


def of_people(people: Mapping[str, Sequence[Path]], root: Path) -> tuple[Photo, ...]:
    """Photos by person, named relative to ``root`` where they are below it."""
    return tuple(
        Photo(
            person,
            path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix(),
            path,
        )
        for person, paths in people.items()
        for path in paths
    )


def of_pairs(
    paths: Sequence[Path],
    names: Sequence[str],
    *,
    first: ArrayLike,
    second: ArrayLike,
    same: ArrayLike,
    people: Sequence[str] | None = None,
) -> tuple[Photo, ...]:
    """Photos of a pair list: mated pairs join photos to people, over any number of steps.

    Where the list does not name its people, each is named after the first of their photos, and
    photos that no mated pair joins count as different people, although a list need not say so of
    every two. Lists whose photos each come in one pair make poor training data for that reason.

    Args:
        paths: P files.
        names: P names.
        first: ``(N,)`` index of each pair's first photo.
        second: ``(N,)`` index of its second.
        same: ``(N,)`` whether the pair is mated.
        people: P names of people, where the list says them.

    Returns:
        P photos, in the order given.

    Raises:
        DataError: a non-mated pair lies within one person.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    a, b = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
    mated = np.asarray(same, dtype=bool)
    count = len(paths)
    links = coo_array((np.ones(mated.sum(), dtype=bool), (a[mated], b[mated])), (count, count))
    if people is not None:
        labels = np.unique(np.asarray(people), return_inverse=True)[1]
    else:
        labels = connected_components(links, directed=False)[1]
    broken = np.flatnonzero((labels[a] == labels[b]) != mated)
    if len(broken):
        pair = int(broken[0])
        said = "one person's" if mated[pair] else "two people's"
        raise DataError(
            f"{names[a[pair]]} and {names[b[pair]]} are {said} by their own row, not by the others "
            f"({len(broken)} such rows)",
            "correct the rows that join or part them",
        )
    if people is None:
        _, where = np.unique(labels, return_index=True)
        people = [names[where[label]] for label in labels]
    return tuple(Photo(*row) for row in zip(people, names, paths, strict=True))


def has_parts(root: Path) -> bool:
    """Returns whether the subfolders are ``train`` or ``test``, not people."""
    return bool(_outermost(root)[1])


def _innermost(root: Path, part: Part) -> Path:
    """The folder whose folders are people."""
    folder, parts = _outermost(root)
    if not parts:
        return folder
    if part not in parts:
        raise DataError(f"{folder}: no folder {part}", f"ask for --part {parts[0]}")
    return folder / part


def _outermost(root: Path) -> tuple[Path, tuple[str, ...]]:
    """The folder whose folders are people or parts, and the parts' names."""
    folder = root
    while folder.is_dir():
        inside = [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]
        parts = [p for p in inside if p.name in _PARTS]
        if parts and len(parts) == len(inside) and all(_holds_only_folders(p) for p in parts):
            return folder, tuple(p.name for p in parts)
        if len(inside) != 1 or not _holds_only_folders(inside[0]):
            break
        folder = inside[0]
    return folder, ()


def _holds_only_folders(folder: Path) -> bool:
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    photos = any(e.suffix.lower() in PHOTO_SUFFIXES and e.is_file() for e in entries)
    return not photos and any(entry.is_dir() for entry in entries)
