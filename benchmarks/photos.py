"""Which photos the benchmarks run on."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos, and whether they show one person (``None``: not known)."""

    a: Path
    b: Path
    same: bool | None


def data_folder(name: str) -> Path | None:
    """Where ``lfw``, ``orl`` or ``peers`` lies: VISAVIS_LFW, ..., else beside the repository."""
    told = os.environ.get(f"VISAVIS_{name.upper()}")
    path = Path(told) if told else ROOT.parent / "shared" / "data" / name
    return path.resolve() if path.is_dir() else None


def lfw_pairs(folder: Path, *, limit: int) -> list[Pair]:
    """Pairs of LFW's View 1 test list, mated and non-mated in turn.

    Raises:
        SystemExit: the list is not in the folder.
    """
    listing = folder / "pairsDevTest.txt"
    if not listing.is_file():
        raise SystemExit(f"{listing} is missing; give the folder of LFW with its lists by --lfw")
    lines = [line.split("\t") for line in listing.read_text(encoding="utf-8").splitlines()[1:]]
    mated = [_pair(folder, n[0], n[1], n[0], n[2]) for n in lines if len(n) == 3]
    non_mated = [_pair(folder, *n) for n in lines if len(n) == 4]
    # The lists are in alphabetical order; a stride takes pairs from all over them.
    half = (limit + 1) // 2
    turns = zip(_spread(mated, half), _spread(non_mated, half), strict=False)
    return [pair for turn in turns for pair in turn][:limit]


def peers_pairs(folder: Path) -> list[Pair]:
    """The 300 labelled pairs that deepface tests itself with, of ``peers/deepface``."""
    photos = folder / "deepface"
    with (photos / "master.csv").open(newline="", encoding="utf-8") as file:
        return [
            Pair(photos / row["file_x"], photos / row["file_y"], row["Decision"] == "Yes")
            for row in csv.DictReader(file)
        ]


def folder_pairs(folder: Path, *, limit: int) -> list[Pair]:
    """Neighboring photos of a folder, by name; photos of one subfolder are one person's.

    Raises:
        SystemExit: fewer than two photos.
    """
    photos = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES)
    pairs = [
        Pair(a, b, a.parent == b.parent if a.parent != folder else None)
        for a, b in pairwise(photos)
    ]
    if not pairs:
        raise SystemExit(f"{folder} holds fewer than two photos; give a folder of portraits")
    return _spread(pairs, limit)


def _pair(folder: Path, first: str, i: str, second: str, j: str) -> Pair:
    def photo(name: str, number: str) -> Path:
        return folder / "lfw-deepfunneled" / name / f"{name}_{int(number):04d}.jpg"

    return Pair(photo(first, i), photo(second, j), first == second)


def _spread(pairs: list[Pair], count: int) -> list[Pair]:
    count = min(count, len(pairs))
    return [pairs[k * len(pairs) // count] for k in range(count)]
