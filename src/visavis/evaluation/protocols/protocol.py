"""The protocol record: the common form of pair lists."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class Protocol:
    """Photos and pairs to compare.

    Attributes:
        name: name in reports, such as ``LFW View 2``.
        photos: P unique photos: paths, or encoded images.
        labels: P names of the photos for score files, independent of the machine (relative paths).
        first: ``(N,)`` int64 index of each pair's first photo.
        second: ``(N,)`` int64 index of its second photo.
        same: ``(N,)`` bool, whether the pair is mated.
        fold: ``(N,)`` int64 fold of each pair, or ``None``.
        group: group of each pair, or ``None``.
        people: person of each photo, or ``None`` if unknown.
        aligned: whether the photos are aligned crops, to be embedded without detection.
        notes: remarks for readers of the report.
    """

    name: str
    photos: tuple[Path | bytes, ...]
    labels: tuple[str, ...]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    same: NDArray[np.bool_]
    fold: NDArray[np.int64] | None = None
    group: tuple[str, ...] | None = None
    people: tuple[str, ...] | None = None
    aligned: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for kind, wanted in (("mated", True), ("non-mated", False)):
            if not (self.same == wanted).any():
                raise DataError(
                    f"{self.name}: no {kind} pair among {len(self.same)}",
                    "error rates need pairs of the same person and pairs of different people",
                )

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.same)


def require_photos(name: str, photos: tuple[Path | bytes, ...]) -> None:
    """Refuses a root folder without any of the photos: probably the wrong folder.

    Single missing photos are counted as failures of their pairs.

    Raises:
        DataError: none of the photos exists.
    """
    paths = [photo for photo in photos if isinstance(photo, Path)]
    if paths and not any(path.is_file() for path in paths):
        raise DataError(
            f"{name}: none of its {len(paths)} photos exists, {paths[0]} for one",
            "give the folder that the paths start from with --root",
        )
