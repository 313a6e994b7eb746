"""Labeled Faces in the Wild: View 1 for development, View 2 for reporting.

G. B. Huang, M. Ramesh, T. Berg and E. Learned-Miller, "Labeled Faces in the Wild: a database for
studying face recognition in unconstrained environments", UMass Amherst TR 07-49, 2007.

The root folder is the unpacked official archive: ``pairs.txt``, ``pairsDevTest.txt``,
``pairsDevTrain.txt``, ``peopleDevTest.txt``, ``peopleDevTrain.txt``, and the photos in a folder
``lfw-deepfunneled``, ``lfw_funneled``, ``lfw-funneled`` or ``lfw``, or directly in folders of
people.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import numpy as np

from visavis.errors import DataError, OptionError
from visavis.evaluation.protocols.protocol import Protocol, require_photos
from visavis.reading import read_text

_FOLDERS: Final = ("lfw-deepfunneled", "lfw_funneled", "lfw-funneled", "lfw")

Part = Literal["test", "train"]

_PEOPLE: Final[dict[Part, str]] = {"train": "peopleDevTrain.txt", "test": "peopleDevTest.txt"}


def view(number: int, root: Path, *, part: Part = "test") -> Protocol:
    """Returns the pairs of a view.

    View 1 is for choosing models, thresholds and options: 1,000 pairs of ``pairsDevTest.txt``, or
    with ``part="train"`` the 2,200 of ``pairsDevTrain.txt``. View 2, the 6,000 pairs of
    ``pairs.txt`` in ten folds, is for reporting only.

    Args:
        number: 1 or 2.
        root: folder of the data set.
        part: half of View 1.

    Raises:
        DataError: the folder is not LFW's, or a list is invalid.
        OptionError: unknown view.
    """
    if number not in (1, 2):
        raise OptionError(f"view {number} of LFW", "there are 1 (to choose on) and 2 (to report)")
    if part not in ("test", "train") or (number == 2 and part != "test"):
        raise OptionError(f"part {part!r} of view {number}", "View 1 has parts test and train")
    photos = photo_folder(root)
    file = "pairs.txt" if number == 2 else "pairsDevTest.txt" if part == "test" else None
    path = root / (file or "pairsDevTrain.txt")
    lines = _lines(path)
    folds, each = _header(path, lines[0])
    if len(lines) != 1 + 2 * folds * each:
        raise DataError(
            f"{path}: {len(lines) - 1} pairs where the first line announces {2 * folds * each}",
            "take the file from the official archive again",
        )
    index: dict[tuple[str, int], int] = {}
    pairs: list[tuple[int, int, bool, int]] = []
    for k, line in enumerate(lines[1:]):
        same = (k // each) % 2 == 0
        (person, i), (other, j) = _pair(path, k + 2, line, same=same)
        a = index.setdefault((person, i), len(index))
        b = index.setdefault((other, j), len(index))
        pairs.append((a, b, same, k // (2 * each) + 1))
    first, second, flags, fold = (np.array(column) for column in zip(*pairs, strict=True))
    labels = tuple(f"{person}/{person}_{i:04d}.jpg" for person, i in index)
    files = tuple(photos / label for label in labels)
    require_photos(str(path), files)
    return Protocol(
        name=f"LFW View {number}" + (f" {part}" if number == 1 else ""),
        photos=files,
        labels=labels,
        first=first.astype(np.int64),
        second=second.astype(np.int64),
        same=flags.astype(np.bool_),
        fold=fold.astype(np.int64) if number == 2 else None,
        people=tuple(person for person, _ in index),
        notes=(
            "LFW View 1 is for choosing, not for reporting: View 2 is."
            if number == 1
            else "LFW View 2: ten folds without common people, for reporting.",
        ),
    )


def people(root: Path, part: Part) -> dict[str, tuple[Path, ...]]:
    """Returns View 1's people with all their photos; nobody is in both parts.

    Args:
        root: folder of the data set.
        part: ``train`` (``peopleDevTrain.txt``, 4,038 people) or ``test`` (``peopleDevTest.txt``,
            1,711 people).

    Raises:
        DataError: the folder is not LFW's, or the list is invalid.
        OptionError: unknown part.
    """
    if part not in ("test", "train"):
        raise OptionError(f"part {part!r} of LFW's people", "there are train and test")
    photos = photo_folder(root)
    path = root / _PEOPLE[part]
    lines = _lines(path)
    found: dict[str, tuple[Path, ...]] = {}
    for number, line in enumerate(lines[1:], start=2):
        match line.split():
            case [person, count] if count.isdecimal():
                names = (f"{person}_{i:04d}.jpg" for i in range(1, int(count) + 1))
                found[person] = tuple(photos / person / name for name in names)
            case _:
                raise DataError(f"{path}, line {number}: {line!r}", "it takes a name and a count")
    if lines[0].strip() != str(len(found)):
        raise DataError(
            f"{path}: {len(found)} people where the first line announces {lines[0].strip()}",
            "take the file from the official archive again",
        )
    require_photos(str(path), tuple(photo for photos in found.values() for photo in photos))
    return found


def cohort(
    root: Path, protocol: Protocol, count: int | None = None, *, seed: int = 0
) -> dict[str, tuple[Path, ...]]:
    """Returns people who are in no pair of a view, with all their photos, for computing a mean.

    For View 1 the people of the other part; for View 2 the 1,053 training people in no pair.

    Args:
        root: folder of the data set.
        protocol: pairs of a view.
        count: number of randomly drawn people; ``None``, or if there are fewer: all. ``None``
            without a list of people in the folder: none.
        seed: random seed.

    Raises:
        DataError: see ``people``.
    """
    used = set(protocol.people or ())
    part: Part = "test" if protocol.name == "LFW View 1 train" else "train"
    if count is None and not (root / _PEOPLE[part]).is_file():
        return {}
    free = {name: photos for name, photos in people(root, part).items() if name not in used}
    if count is None or count >= len(free):
        return free
    names = sorted(free)
    chosen = np.random.default_rng(seed).choice(len(names), count, replace=False)
    return {names[k]: free[names[k]] for k in np.sort(chosen)}


def photo_folder(root: Path) -> Path:
    """Returns the folder in ``root`` with one subfolder per person.

    Raises:
        DataError: none exists.
    """
    # Some archives nest the folder in one of the same name.
    nested = [root / name / name for name in _FOLDERS]
    for folder in (*nested, *(root / name for name in _FOLDERS), root):
        if folder.is_dir() and next(folder.glob("*/*_0001.jpg"), None) is not None:
            return folder
    raise DataError(
        f"{root}: no photos of Labeled Faces in the Wild",
        "give with --root or VISAVIS_LFW the folder that holds pairs.txt and lfw-deepfunneled/",
    )


def _lines(path: Path) -> list[str]:
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: cannot be read ({error})", "put the list beside the photos' folder"
        ) from error
    lines = text.splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise DataError(f"{path}: an empty file", "take it from the official archive again")
    return lines


def _header(path: Path, line: str) -> tuple[int, int]:
    """Returns the number of folds, and of pairs of each kind per fold."""
    match line.split():
        case [each] if each.isdecimal():
            return 1, int(each)
        case [folds, each] if folds.isdecimal() and each.isdecimal():
            return int(folds), int(each)
        case _:
            raise DataError(
                f"{path}, line 1: {line!r}", "the first line holds one or two whole numbers"
            )


def _pair(
    path: Path, number: int, line: str, *, same: bool
) -> tuple[tuple[str, int], tuple[str, int]]:
    match line.split():
        case [person, i, j] if same and i.isdecimal() and j.isdecimal():
            return (person, int(i)), (person, int(j))
        case [person, i, other, j] if not same and i.isdecimal() and j.isdecimal():
            return (person, int(i)), (other, int(j))
        case _:
            form = "name number number" if same else "name number name number"
            raise DataError(f"{path}, line {number}: {line!r}", f"here it takes: {form}")
