"""Protocols from folders of photos per person: all pairs, or a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.errors import DataError, OptionError
from visavis.evaluation.protocols.protocol import Protocol
from visavis.images import photos_by_person

__all__ = ["among", "photos_by_person", "read"]


def read(root: Path, *, most: int = 1_000_000, seed: int = 0) -> Protocol:
    """Returns pairs of photos below ``root``, where each direct subfolder is a person.

    Args:
        root: folder of folders. Files directly in it, hidden files, and files without a photo
            suffix are ignored.
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
    """Returns pairs of photos of known people.

    Args:
        people: photos by person.
        name: name in reports.
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
            "give a folder with one subfolder per person, two people or more, one of them with two "
            "photos or more",
        )
    ends = np.repeat(np.cumsum(sizes), sizes)  # end of each photo's person
    places = np.arange(len(ends))
    rng = np.random.default_rng(seed)
    total_mated, mated = _pairs(ends - 1 - places, places + 1, most, rng)
    total, non_mated = _pairs(len(ends) - ends, ends, most, rng)
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


def _pairs(
    partners: NDArray[np.int64], first: NDArray[np.int64], most: int, rng: np.random.Generator
) -> tuple[int, NDArray[np.int64]]:
    """Returns the number of pairs, and up to ``most`` of them, ``(N, 2)``, in order.

    Args:
        partners: number of later photos that each photo forms pairs with; they are consecutive.
        first: first partner of each.
        most: most pairs.
        rng: for sampling.
    """
    before = np.concatenate([[0], np.cumsum(partners)])
    total = int(before[-1])
    number = (
        np.arange(total)
        if total <= most
        else np.sort(rng.choice(total, most, replace=False, shuffle=False))
    )
    i = np.searchsorted(before, number, side="right") - 1
    return total, np.stack([i, first[i] + number - before[i]], axis=1).astype(np.int64)
