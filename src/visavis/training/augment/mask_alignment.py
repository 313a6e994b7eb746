"""What a face mask does to the alignment: a detector guesses the landmarks that it hides.

A mask drawn on an aligned crop leaves the crop as well aligned as it was. Drawn on the photo, with
the face detected again, it moves the landmarks, and the crop with them; that costs the default
model more than the cloth does. So crops that are given a mask are moved as masked photos are.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.faces.align import TEMPLATE_SIZE, positions
from visavis.training.augment.masks import put_on
from visavis.types import Crops, Image

LOCATION: Final = (0.024, -1.819, 0.627, 2.254)
"""Of the logarithm of the size, degrees clockwise, template pixels to the right and down."""
SCALE: Final = (
    (0.0024, 0.0019, 0.0079, 0.0399),
    (0.0019, 12.7706, -2.2827, 0.1413),
    (0.0079, -2.2827, 6.1147, 0.0279),
    (0.0399, 0.1413, 0.0279, 5.3434),
)
"""Of the same four; the covariance is 5/3 of it."""
DEGREES: Final = 5
"""Of freedom of the multivariate t distribution with this location and scale: a detector is grossly
off far more often than normally distributed landmarks would be. Measured with the default detector
on photos of LFW's peopleDevTrain: ``python -m benchmarks.mask_alignment``."""

FARTHEST: Final = 11.0
"""Longest draw in scales, 1 in 1,000; what lies farther is a face that was not found."""

_FACTOR: Final = np.linalg.cholesky(np.array(SCALE))
_STREAM: Final = 1  # put_on draws from (seed, row)


def wear(crops: Crops, *, size: int, scale: float, seed: int) -> Crops:
    """Every face with a mask, and aligned as a detector would that sees the mask.

    Args:
        crops: ``(N, size, size, 3)`` RGB uint8; not changed.
        size: side of the crops in pixels.
        scale: size of the face in them, as in ``faces.align.crop``.
        seed: at least 0; row i's mask and alignment depend on `seed` and i alone.

    Returns:
        Like `crops`; the border is repeated where a moved frame reaches beyond the crop.

    Raises:
        OptionError: as ``masks.put_on``.
    """
    out = put_on(crops, size=size, scale=scale, seed=seed)
    for i, worn in enumerate(out):
        rng = np.random.default_rng((seed, i, _STREAM))
        draw = rng.standard_normal(4) / np.sqrt(rng.chisquare(DEGREES) / DEGREES)
        draw *= min(1.0, FARTHEST / np.linalg.norm(draw))
        zoom, turn, *shift = np.array(LOCATION) + _FACTOR @ draw
        out[i] = _moved(worn, float(zoom), float(turn), np.array(shift), scale)
    return out


def _moved(
    crop: Image, zoom: float, turn: float, shift: NDArray[np.float64], scale: float
) -> Image:
    size = len(crop)
    middle = positions(size=size, scale=scale).mean(0)
    angle = np.deg2rad(turn)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = np.exp(zoom) * rotation
    offset = middle + shift * (size / TEMPLATE_SIZE * scale) - linear @ middle
    return np.asarray(
        cv2.warpAffine(
            crop,
            np.column_stack([linear, offset]),
            (size, size),
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        dtype=np.uint8,
    )
