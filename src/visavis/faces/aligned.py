"""Detector for crops that are already aligned: their landmarks are those of the template."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.errors import NotAlignedError
from visavis.faces import align
from visavis.faces.detecting import check_photo
from visavis.types import Detector, Face, Image

FARTHEST: Final = 0.2
"""Highest ``misplaced`` of an aligned crop, in eye distances. Chosen on LFW View 1's test people:
crops aligned with YuNet, MTCNN or dlib reach 0.13 to 0.16 (99 %); most face boxes and other
templates exceed it. ``python -m benchmarks.aligned`` measures what is refused."""

_REMEDY: Final = "leave --aligned (aligned=True) out, so that faces are found and aligned"
_VIEW: Final = (192, 0.9)
"""Size of the checked image in pixels, and of the face in it: the best size for detectors, with
space around the face."""


class Aligned:
    """Accepts a square image as one aligned face, and refuses others.

    Detecting again would shift each crop by the detector's error. Here each crop is used as it is;
    a detector only checks that its face is at the template.

    Args:
        detector: checks that the face is at the template. ``None``: only the shape is checked, as
            for published datasets, in which every image counts.

    Example:
        >>> Aligned().detect(np.zeros((112, 112, 3), np.uint8))[0].landmarks[0].round()
        array([38., 52.], dtype=float32)
    """

    def __init__(self, detector: Detector | None = None) -> None:
        self._detector = detector

    @property
    def name(self) -> str:
        """``aligned-112`` and the name of the checking detector."""
        return "aligned-112" + (f"/{self._detector.name}" if self._detector else "")

    def detect(self, image: Image, /) -> list[Face]:
        """Returns the one face of an aligned RGB ``(S, S, 3)`` uint8 crop; its box is the whole
        image.

        Its score is that of the checking detector, or 1.

        Raises:
            NotAlignedError: the image is not square, or has no face at the template.
            OptionError: another shape or dtype.
        """
        image = check_photo(image)
        height, width = image.shape[:2]
        if height != width:
            raise NotAlignedError(
                f"{width}x{height} pixels, but an aligned crop is square", _REMEDY
            )
        landmarks = align.positions(size=width)
        score = 1.0 if self._detector is None else _score(image, landmarks, self._detector)
        return [Face((0.0, 0.0, float(width), float(width)), landmarks.astype(np.float32), score)]


def misplaced(landmarks: NDArray[np.floating], *, size: int, scale: float = 1.0) -> float:
    """Returns how far a second alignment would move a crop, in eye distances; 0 for a perfect crop.

    Root mean square over the template's points. It does not grow for turned heads, unlike the
    distance between landmarks and template.

    Args:
        landmarks: ``(5, 2)`` detected in the crop, in pixels.
        size: side of the crop in pixels.
        scale: see ``align.crop``.

    >>> misplaced(align.positions() + 3.5238, size=112).__round__(2)
    0.14
    """
    target = align.positions(size=size, scale=scale)
    matrix = align.similarity(landmarks, target)
    moved = target @ matrix[:, :2].T + matrix[:, 2] - target
    return float(np.sqrt((moved**2).sum(axis=1).mean()) / np.hypot(*(target[1] - target[0])))


def _score(image: Image, landmarks: NDArray[np.float64], detector: Detector) -> float:
    """Detector score of the face at the template."""
    size, scale = _VIEW
    found = detector.detect(align.crop(image, landmarks, size=size, scale=scale))
    if not found:
        raise NotAlignedError("no face found in it", _REMEDY)
    off, face = min(
        ((misplaced(face.landmarks, size=size, scale=scale), face) for face in found),
        key=lambda one: one[0],
    )
    if off > FARTHEST:
        raise NotAlignedError(
            f"not aligned: eyes, nose and mouth lie {off:.0%} of the eye distance off the usual "
            f"112x112 template, over {FARTHEST:.0%}",
            _REMEDY,
        )
    return face.score
