"""Finds faces in photos that are on their side or upside down without an orientation tag.

Detectors are trained on upright faces. In a photo turned by 90 or 270 degrees they find nothing, or
something with a low score and misplaced landmarks; turned by 180 they take the mouth for eyes.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.faces.boxes import check_photo
from visavis.faces.image_pyramid import ImagePyramid
from visavis.faces.pose import estimate_pose
from visavis.types import Detector, Face, Image

_MOST_ROLL: Final = 60.0
"""Beyond this, in degrees, a face lies on its side: a quarter turn of the photo brings it nearer
upright."""


_SIDE: Final = 160
"""Side in pixels of the picture in which a doubtful face is looked at upside down; its window is
twice the face."""


class OrientedDetector:
    """A detector that also searches the other three orientations of a photo when needed.

    It does so if no face has a good score, if the face with the best score lies on its side, or if
    that face scores higher when it is cut out and turned upside down. The orientation with the best
    score is used; the photo's own if scores are equal, or if no other orientation scores well.
    Boxes and landmarks stay in pixels of the photo as given; ``Face.turn`` is the face's rotation.

    Args:
        detector: finds upright faces.
        doubtful: if the best score is lower, all orientations are searched.
        convincing: if the best score is at least this, the photo is taken as upright. Between the
            two, only the best face is checked upside down.
        least: lowest score at which another orientation counts. Each further search is another
            chance of a false detection.
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
        """The detector's name, followed by the scores that start a further search."""
        return f"{self._detector.name}/turn{self._doubtful:g}-{self._convincing:g}"

    def detect(self, image: Image, /) -> list[Face]:
        """Faces of an RGB ``(H, W, 3)`` uint8 photo, largest box first; may be empty.

        Raises:
            OptionError: another shape or dtype.
        """
        image = check_photo(image)
        found = self._detector.detect(image)
        if not self._looks_further(image, found):
            return found
        looks = []
        for quarters in (1, 2, 3):
            turned = self._detector.detect(np.ascontiguousarray(np.rot90(image, quarters)))
            looks.append([_as_given(face, quarters, image) for face in turned])
        # Of equal scores the first counts.
        return max([found, *(f for f in looks if _score(f) >= self._least)], key=_score)

    def _looks_further(self, image: Image, faces: list[Face]) -> bool:
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
    """A face found in ``np.rot90(image, quarters)``, in pixels of ``image``."""
    height, width = image.shape[:2]
    x, y, across, down = face.box
    box = {
        1: (width - y - down, x, down, across),
        2: (width - x - across, height - y - down, across, down),
        3: (y, height - x - across, down, across),
    }[quarters]
    return Face(box, turned_back(face.landmarks, quarters, image), face.score, 90 * quarters)


def turned_back(points: NDArray[np.floating], quarters: int, image: Image) -> NDArray[np.float32]:
    """Points of ``np.rot90(image, quarters)`` in pixels of ``image``.

    Pixel centers go to pixel centers, as ``align.crop`` reads landmarks: the crop of a turned face
    is that of the upright one.

    Args:
        points: ``(N, 2)`` x and y.
        quarters: counter-clockwise quarter turns, 1 to 3.
        image: the photo before the turn, ``(H, W, 3)``.

    >>> turned_back(np.array([[1.0, 2.0]]), 1, np.zeros((30, 50, 3), np.uint8))
    array([[47.,  1.]], dtype=float32)
    """
    bottom, right = image.shape[0] - 1, image.shape[1] - 1
    x, y = np.asarray(points, dtype=np.float32).T
    back = {1: (right - y, x), 2: (right - x, bottom - y), 3: (y, bottom - x)}
    return np.stack(back[quarters], axis=1)
