"""Matches the faces of a photo to known faces by position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

LEAST_OVERLAP: Final = 0.3
"""Intersection over union above which two boxes in one photo are the same face. Detectors differ in
the extent of a face, and no detector here reports two faces that overlap this much."""

Box = tuple[float, float, float, float]


def overlaps(boxes: Sequence[Box], others: Sequence[Box]) -> NDArray[np.float64]:
    """Returns the intersection over union of boxes ``(x, y, width, height)``, ``(N, M)`` in [0, 1].

    >>> overlaps([(0, 0, 2, 2)], [(0, 0, 2, 2), (1, 0, 2, 2), (9, 9, 1, 1)]).round(3)
    array([[1.   , 0.333, 0.   ]])
    """
    a = np.asarray(boxes, dtype=np.float64).reshape(-1, 1, 4)
    b = np.asarray(others, dtype=np.float64).reshape(1, -1, 4)
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    union = a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - shared
    return np.asarray(shared / np.maximum(union, 1e-12))


def same_faces(found: Sequence[Box], known: Sequence[Box]) -> list[int | None]:
    """Matches each detected box to a known box, one to one, largest overlap first.

    >>> same_faces([(10, 0, 5, 5), (0, 0, 5, 5)], [(0, 1, 5, 5), (50, 0, 5, 5)])
    [None, 0]
    """
    answer: list[int | None] = [None] * len(found)
    if not len(found) or not len(known):
        return answer
    shared = overlaps(found, known)
    rows, columns = np.nonzero(shared >= LEAST_OVERLAP)
    taken: set[int] = set()
    for k in np.lexsort((columns, rows, -shared[rows, columns])):
        row, column = int(rows[k]), int(columns[k])
        if answer[row] is None and column not in taken:
            answer[row] = column
            taken.add(column)
    return answer


def left_to_right(boxes: Sequence[Box]) -> list[int]:
    """Numbers the faces of a photo from left to right, from 1.

    >>> left_to_right([(50, 0, 9, 9), (10, 0, 9, 9)])
    [2, 1]
    """
    order = sorted(range(len(boxes)), key=lambda k: (boxes[k][0] + boxes[k][2] / 2, boxes[k][1]))
    numbers = [0] * len(boxes)
    for number, k in enumerate(order, start=1):
        numbers[k] = number
    return numbers
