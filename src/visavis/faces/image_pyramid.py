"""Image pyramid, for cutting small windows without aliasing."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.types import Crops, Image

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
