"""A photo and its halves, to cut small windows out of without skipping detail (aliasing)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.types import Crops, Image

OUTSIDE: Final = (127, 127, 127)
"""What lies beyond the photo's border. Middle gray is zero to a network that takes -1 to 1; of
black, gray and the border's own pixels repeated, MTCNN finds most cut faces beside gray."""


class ImagePyramid:
    """The photo at sizes 1, 1/2, 1/4, ..., each made when first needed by averaging 2x2 blocks.

    Takes at most a third more memory than the photo. Coordinates are pixels of the photo, origin at
    the top left corner of the top left pixel. Not for several threads at once.
    """

    def __init__(self, image: Image) -> None:
        self._levels = [image]

    @property
    def image(self) -> Image:
        """The photo itself."""
        return self._levels[0]

    def resized(self, width: int, height: int) -> Image:
        """The whole photo at the given size, averaged over areas where it shrinks."""
        import cv2

        source = self._level(min(self.image.shape[1] / width, self.image.shape[0] / height))
        if source.shape[:2] == (height, width):
            return source
        grows = width > source.shape[1] or height > source.shape[0]
        method = cv2.INTER_LINEAR if grows else cv2.INTER_AREA
        resized: Image = cv2.resize(source, (width, height), interpolation=method)
        return resized

    def windows(self, squares: NDArray[np.floating], side: int, *, angle: float = 0.0) -> Crops:
        """Square windows of the photo, each scaled to ``(side, side)``; outside the photo is gray.

        Args:
            squares: ``(N, 3)`` as x, y of the top left corner and the side, in pixels.
            side: output side in pixels.
            angle: turn each window clockwise by so many radians about its middle.

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
            # Only the part around the window: OpenCV takes no picture with a side above 32,766.
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
        """The smallest kept size that is still at least ``1 / reduction`` of the photo."""
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
