"""Non-maximum suppression of overlapping boxes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visavis.errors import OptionError
from visavis.types import Image


def suppress(
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
    *,
    overlap: float,
    of_smaller: bool = False,
) -> NDArray[np.intp]:
    """Returns indices of the boxes to keep, best score first (ties: lower index first).

    Greedy: the best box is kept, and boxes that overlap it by more than ``overlap`` are dropped;
        then the best of the rest; and so on.
    best of the rest; and so on.

    Args:
        boxes: ``(N, 4)`` as x1, y1, x2, y2, any unit.
        scores: ``(N,)``, higher is better.
        overlap: highest allowed overlap of two kept boxes, 0 to 1.
        of_smaller: divide the overlap by the smaller box's area instead of the union, so that a
            small box inside a large one is dropped.

    >>> boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10.0]])
    >>> suppress(boxes, np.array([0.8, 0.9, 0.7]), overlap=0.5)
    array([1, 2])
    """
    best_first = np.argsort(-scores, kind="stable")
    if not best_first.size:
        return best_first
    # Sorted by left edge, the boxes that can overlap a given one are in a short range.
    by_left = np.argsort(boxes[:, 0], kind="stable")
    place = np.empty_like(by_left)
    place[by_left] = np.arange(len(by_left))
    x1, y1, x2, y2 = boxes[by_left].T.astype(np.float64)
    width = np.maximum(x2 - x1, 0)
    area = width * np.maximum(y2 - y1, 0)
    widest = width.max()
    alive = np.ones(len(by_left), dtype=bool)
    kept = []
    for k in best_first:
        b = place[k]
        if not alive[b]:
            continue
        kept.append(k)
        # Intersection over union is at most the ratio of the widths.
        bounded = overlap > 0 and not of_smaller
        reach = min(widest, width[b] / overlap) if bounded else widest
        near = slice(*np.searchsorted(x1, [x1[b] - reach, x2[b]]))
        across = np.minimum(x2[b], x2[near]) - np.maximum(x1[b], x1[near])
        down = np.minimum(y2[b], y2[near]) - np.maximum(y1[b], y1[near])
        common = np.maximum(across, 0) * np.maximum(down, 0)
        whole = np.minimum(area[b], area[near]) if of_smaller else area[b] + area[near] - common
        alive[near] &= common <= overlap * whole
    return np.array(kept, dtype=np.intp)


def check_photo(image: object) -> Image:
    """Returns the photo as a contiguous array; copies only if needed.

    Raises:
        OptionError: not an ``(H, W, 3)`` uint8 array, or a side is 0.

    >>> check_photo(np.zeros((4, 5), dtype=np.uint8))
    Traceback (most recent call last):
    visavis.errors.OptionError: a uint8 array of shape (4, 5); give an upright RGB photo, ...
    """
    remedy = "give an upright RGB photo, uint8 of shape (H, W, 3): visavis.images.decode makes one"
    if not isinstance(image, np.ndarray):
        raise OptionError(f"a {type(image).__name__} instead of an array", remedy)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise OptionError(f"a {image.dtype} array of shape {image.shape}", remedy)
    return np.ascontiguousarray(image)
