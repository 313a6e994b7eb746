"""Finds faces in photos that are rotated by 90, 180 or 270 degrees without an orientation tag.

Detectors are trained on upright faces. In a photo rotated by 90 or 270 degrees they find nothing,
or faces with low scores and wrong landmarks; upside down they confuse mouth and eyes.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.faces.detecting import ImagePyramid, check_photo
from visavis.faces.pose import estimate_pose
from visavis.types import Detector, Face, Image

_MOST_ROLL: Final = 60.0
"""Tilt in degrees beyond which a quarter turn of the photo brings a face closer to upright."""


_SIDE: Final = 160
"""Side in pixels of the image for the upside-down check; it shows twice the face."""


class OrientedDetector:
    """A detector that also searches the other three orientations of a photo when needed.

    It does if no face has a good score, if the best face is tilted by more than 45 degrees, or if
    the best face scores higher upside down. The orientation with the best score is used; the
    original one if scores are equal, or if no other orientation scores well. Boxes and landmarks
    are in pixels of the photo as given; ``Face.turn`` is the face's rotation.

    Args:
        detector: finds upright faces.
        doubtful: if the best score is lower, all orientations are searched.
        convincing: if the best score is at least this, the photo is assumed to be upright. Between
            the two, only the best face is checked upside down.
        least: lowest score of a face in another orientation, because each further search can cause
            false detections.
    """

    def __init__(
        self, detector: Detector, *, doubtful: float, convincing: float, least: float
    ) -> None:
        self._detector = detector
        self._doubtful = doubtful
        self._convincing = convincing
        self._least = least

    @property
    def name(self) -> str:
        """The detector's name and the scores that trigger further searches."""
        return f"{self._detector.name}/turn{self._doubtful:g}-{self._convincing:g}"

    def detect(self, image: Image, /) -> list[Face]:
        """Returns the faces of an RGB ``(H, W, 3)`` uint8 photo, largest box first; may be empty.

        Raises:
            OptionError: another shape or dtype.
        """
        image = check_photo(image)
        found = self._detector.detect(image)
        if not self._needs_search(image, found):
            return found
        looks = []
        for quarters in (1, 2, 3):
            turned = self._detector.detect(np.ascontiguousarray(np.rot90(image, quarters)))
            looks.append([_as_given(face, quarters, image) for face in turned])
        # Ties: the first one.
        return max([found, *(f for f in looks if _score(f) >= self._least)], key=_score)

    def _needs_search(self, image: Image, faces: list[Face]) -> bool:
        if _score(faces) < self._doubtful:
            return True
        best = max(faces, key=lambda face: face.score)
        if abs(estimate_pose(best.landmarks).roll) > _MOST_ROLL:
            return True
        if best.score >= self._convincing:
            return False
        x, y, width, height = best.box
        extent = 2 * max(width, height)
        corner = (x + width / 2 - extent / 2, y + height / 2 - extent / 2)
        window = ImagePyramid(image).windows(np.array([[*corner, extent]]), _SIDE, angle=np.pi)[0]
        return _score(self._detector.detect(window)) > best.score


def _score(faces: list[Face]) -> float:
    return max((face.score for face in faces), default=0.0)


def _as_given(face: Face, quarters: int, image: Image) -> Face:
    """Converts a face of ``np.rot90(image, quarters)`` to pixels of ``image``."""
    height, width = image.shape[:2]
    x, y, across, down = face.box
    box = {
        1: (width - y - down, x, down, across),
        2: (width - x - across, height - y - down, across, down),
        3: (y, height - x - across, down, across),
    }[quarters]
    return Face(box, to_original(face.landmarks, quarters, image), face.score, 90 * quarters)


def to_original(points: NDArray[np.floating], quarters: int, image: Image) -> NDArray[np.float32]:
    """Converts points of ``np.rot90(image, quarters)`` to pixels of ``image``.

    Maps pixel centers to pixel centers, as ``align.crop`` does: the crop of a rotated face equals
    that of the upright one.

    Args:
        points: ``(N, 2)`` x and y.
        quarters: counter-clockwise quarter turns, 1 to 3.
        image: the photo before the turn, ``(H, W, 3)``.

    >>> to_original(np.array([[1.0, 2.0]]), 1, np.zeros((30, 50, 3), np.uint8))
    array([[47.,  1.]], dtype=float32)
    """
    bottom, right = image.shape[0] - 1, image.shape[1] - 1
    x, y = np.asarray(points, dtype=np.float32).T
    back = {1: (right - y, x), 2: (right - x, bottom - y), 3: (y, bottom - x)}
    return np.stack(back[quarters], axis=1)
