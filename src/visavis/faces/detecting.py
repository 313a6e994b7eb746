"""Common parts of detectors: checks of photos, image pyramid, non-maximum suppression."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.errors import OptionError
from visavis.types import Crops, Image


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


OUTSIDE: Final = (127, 127, 127)
"""Fill value beyond the photo's border. Middle gray is zero to a network with inputs of -1 to 1;
compared with black and with repeated border pixels, MTCNN finds most cut-off faces with gray."""


class ImagePyramid:
    """The photo at sizes 1, 1/2, 1/4, ..., each computed on first use by averaging 2x2 blocks.

    Uses at most a third more memory than the photo. Coordinates are pixels of the photo; the origin
    is the top left corner of the top left pixel. Not thread-safe.
    """

    def __init__(self, image: Image) -> None:
        self._levels = [image]

    @property
    def image(self) -> Image:
        """The original photo."""
        return self._levels[0]

    def resized(self, width: int, height: int) -> Image:
        """Returns the whole photo at the given size, with area averaging when shrinking."""
        import cv2

        source = self._level(min(self.image.shape[1] / width, self.image.shape[0] / height))
        if source.shape[:2] == (height, width):
            return source
        grows = width > source.shape[1] or height > source.shape[0]
        method = cv2.INTER_LINEAR if grows else cv2.INTER_AREA
        resized: Image = cv2.resize(source, (width, height), interpolation=method)
        return resized

    def windows(self, squares: NDArray[np.floating], side: int, *, angle: float = 0.0) -> Crops:
        """Returns square windows of the photo, scaled to ``(side, side)``; gray outside the photo.

        Args:
            squares: ``(N, 3)`` as x, y of the top left corner and the side, in pixels.
            side: output side in pixels.
            angle: clockwise rotation of each window about its center, in radians.

        Returns:
            ``(N, side, side, 3)`` uint8.
        """
        import cv2

        result = np.empty((len(squares), side, side, 3), dtype=np.uint8)
        height, width = self.image.shape[:2]
        cos, sin = float(np.cos(angle)), float(np.sin(angle))
        for k, (x, y, extent) in enumerate(np.asarray(squares, dtype=np.float64)):
            source = self._level(extent / side)
            fx, fy = source.shape[1] / width, source.shape[0] / height
            # Cut out the surroundings first: OpenCV supports no image side above 32,766.
            middle = (x + extent / 2, y + extent / 2)
            reach = extent / 2 * (abs(cos) + abs(sin))
            left = max(int((middle[0] - reach) * fx) - 2, 0)
            top = max(int((middle[1] - reach) * fy) - 2, 0)
            right = int((middle[0] + reach) * fx) + 3
            bottom = int((middle[1] + reach) * fy) + 3
            part = source[top : max(bottom, 0), left : max(right, 0)]
            if part.size == 0:
                result[k] = OUTSIDE
                continue
            step = extent / side
            turn = step * np.array([[cos, -sin], [sin, cos]])
            start = middle + turn @ np.full(2, 0.5 - side / 2)
            matrix = np.column_stack([turn, start]) * [[fx], [fy]]
            matrix[:, 2] -= (0.5 + left, 0.5 + top)
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            cv2.warpAffine(
                part, matrix, (side, side), dst=result[k], flags=flags, borderValue=OUTSIDE
            )
        return result

    def _level(self, reduction: float) -> Image:
        """Returns the smallest level that is at least ``1 / reduction`` of the photo."""
        import cv2

        want = max(int(np.log2(max(reduction, 1))), 0)
        for _ in range(len(self._levels), want + 1):
            last = self._levels[-1]
            height, width = last.shape[:2]
            if min(height, width) < 2:
                break
            size = (width // 2, height // 2)
            self._levels.append(cv2.resize(last, size, interpolation=cv2.INTER_AREA))
        return self._levels[min(want, len(self._levels) - 1)]
