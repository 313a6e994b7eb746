"""Recall and precision of face detection on photos whose faces were marked by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.photos import ROOT
from visavis.types import Face

MARKED = ROOT / "tests" / "faces" / "peers_faces.json"


@dataclass(frozen=True, slots=True)
class MarkedPhoto:
    """The faces of one photo, marked by hand; the criteria are in ``tests/faces/peers_faces.md``.

    Attributes:
        size: width and height of the upright photo.
        faces: a point near each face's nose, ``(x, y)``.
        ignore: circles ``(x, y, radius)`` in which a detection is neither right nor wrong.
    """

    size: tuple[int, int]
    faces: tuple[tuple[float, float], ...]
    ignore: tuple[tuple[float, float, float], ...]


def marked_photos(file: Path = MARKED) -> dict[str, MarkedPhoto]:
    """What was marked, by the photo's path below the data folder."""
    return {
        name: MarkedPhoto(
            size=tuple(photo["size"]),
            faces=tuple(map(tuple, photo["faces"])),
            ignore=tuple(map(tuple, photo["ignore"])),
        )
        for name, photo in json.loads(file.read_text(encoding="utf-8")).items()
    }


def judge(faces: Sequence[Face], photo: MarkedPhoto) -> list[bool | None]:
    """Whether each detection shows a marked face that no more confident one shows.

    Returns:
        One value a detection, in the order given: true (right), false (wrong) or ``None`` (the
        middle of its box is in an ignored circle). The photo's missed faces are its marked faces
        less the right detections.
    """
    free = list(photo.faces)
    verdicts: list[bool | None] = [None] * len(faces)
    for index in sorted(range(len(faces)), key=lambda index: -faces[index].score):
        x, y, width, height = faces[index].box
        middle = (x + width / 2, y + height / 2)
        inside = [p for p in free if x <= p[0] <= x + width and y <= p[1] <= y + height]
        if inside:
            free.remove(min(inside, key=lambda p: _distance(p, middle)))
            verdicts[index] = True
        elif not any(_distance(circle[:2], middle) <= circle[2] for circle in photo.ignore):
            verdicts[index] = False
    return verdicts


def _distance(a: tuple[float, float], b: tuple[float, float]) -> float:
    return float(((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) ** 0.5)
