"""The value that every kind of pair list becomes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class Protocol:
    """Photos and the pairs of them to compare.

    Attributes:
        name: what reports call it, such as ``LFW View 2``.
        photos: P photos, each once: paths, or the bytes of encoded images.
        labels: P names of the photos for score files, stable between machines (relative paths).
        first: ``(N,)`` int64 index of each pair's first photo.
        second: ``(N,)`` int64 index of its second photo.
        same: ``(N,)`` bool, whether the pair is mated.
        fold: ``(N,)`` int64 fold of each pair, or ``None``.
        group: group of each pair, or ``None``.
        people: person of each photo, or ``None`` where nobody said.
        aligned: the photos are aligned crops already, to be embedded without detection.
        notes: sentences about the list that a reader of the report should know.
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
    """Refuse a root folder under which none of the photos lies: surely the wrong one.

    Single missing photos are failures of their pairs, to be counted, not errors.

    Raises:
        DataError: no photo exists.
    """
    paths = [photo for photo in photos if isinstance(photo, Path)]
    if paths and not any(path.is_file() for path in paths):
        raise DataError(
            f"{name}: none of its {len(paths)} photos exists, {paths[0]} for one",
            "give the folder that the paths start from with --root",
        )
