"""A folder of photos a person: all pairs among them, or a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.errors import DataError, OptionError
from visavis.evaluation.protocols.protocol import Protocol
from visavis.images import photos_by_person

__all__ = ["among", "photos_by_person", "read"]

_DENSE: Final = 4000
"""Up to this many photos all pairs are listed and then drawn from; above, pairs are drawn blind."""


def read(root: Path, *, most: int = 1_000_000, seed: int = 0) -> Protocol:
    """Pairs among the photos below ``root``, where each direct subfolder is a person.

    Args:
        root: folder of folders. Files directly in it, hidden ones, and files without a photo's
            suffix are not photos.
        most: most pairs of each kind; where there are more, so many are drawn.
        seed: decides which.

    Raises:
        DataError: fewer than two people with photos, or nobody with two photos.
        OptionError: ``most`` below 1.
    """
    people = photos_by_person(root)
    return among(people, name=root.name or str(root), root=root, most=most, seed=seed)


def among(
    people: Mapping[str, Sequence[Path]],
    *,
    name: str,
    root: Path,
    most: int = 1_000_000,
    seed: int = 0,
) -> Protocol:
    """Pairs among photos whose people are known.

    Args:
        people: photos of each person.
        name: what reports call the list.
        root: folder that labels are relative to.
        most: most pairs of each kind; where there are more, so many are drawn.
        seed: decides which.

    Raises:
        DataError: fewer than two people, or nobody with two photos.
        OptionError: ``most`` below 1.
    """
    if most < 1:
        raise OptionError(f"at most {most} pairs", "ask for 1 or more")
    photos = [photo for own in people.values() for photo in own]
    sizes = np.array([len(own) for own in people.values() if len(own)], dtype=np.int64)
    if len(sizes) < 2 or sizes.max(initial=0) < 2:
        raise DataError(
            f"{root}: {len(photos)} photos of {len(sizes)} people",
            "give a folder that holds a folder a person, two people or more, one of them with two "
            "photos or more",
        )
    owner = np.repeat(np.arange(len(sizes)), sizes)
    rng = np.random.default_rng(seed)
    total_mated = int((sizes * (sizes - 1) // 2).sum())
    total = len(owner) * (len(owner) - 1) // 2 - total_mated
    mated = _mated(sizes)
    if total_mated > most:
        mated = mated[np.sort(rng.choice(total_mated, most, replace=False))]
    non_mated = _non_mated(owner, total, most, rng)
    notes = []
    for kind, taken, all_of in (
        ("mated", len(mated), total_mated),
        ("non-mated", len(non_mated), total),
    ):
        what = "all" if taken == all_of else f"{taken:,} drawn (seed {seed}) of"
        notes.append(f"Pairs: {what} {all_of:,} {kind} ones.")
    both = np.concatenate([mated, non_mated])
    return Protocol(
        name=name,
        photos=tuple(photos),
        labels=tuple(_label(photo, root) for photo in photos),
        first=both[:, 0],
        second=both[:, 1],
        same=np.arange(len(both)) < len(mated),
        people=tuple(person for person, own in people.items() for _ in own),
        notes=tuple(notes),
    )


def _label(photo: Path, root: Path) -> str:
    return photo.relative_to(root).as_posix() if photo.is_relative_to(root) else str(photo)


def _mated(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """All pairs of photos of one person, ``(N, 2)``."""
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    parts = [
        np.stack(np.triu_indices(size, 1), axis=1) + start
        for start, size in zip(starts.tolist(), sizes.tolist(), strict=True)
    ]
    return np.concatenate(parts).astype(np.int64)


def _non_mated(
    owner: NDArray[np.int64], total: int, most: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Up to ``most`` of all pairs of photos of two people, ``(N, 2)``, in order."""
    n = len(owner)
    if n <= _DENSE or total <= 2 * most:
        i, j = np.triu_indices(n, 1)
        other = np.flatnonzero(owner[i] != owner[j])
        if total > most:
            other = np.sort(rng.choice(other, most, replace=False))
        return np.stack([i[other], j[other]], axis=1).astype(np.int64)
    drawn = np.zeros(0, dtype=np.int64)
    while len(drawn) < most:
        i, j = np.sort(rng.integers(0, n, (2, most)), axis=0)
        keys = (i * n + j)[owner[i] != owner[j]]
        # A set of distinct pairs; the surplus of the last round is dropped at random.
        drawn = np.union1d(drawn, keys)
    drawn = np.sort(rng.choice(drawn, most, replace=False))
    return np.stack([drawn // n, drawn % n], axis=1)
