"""Stores a face crop beside its template, for embedding by another model later.

Alignment maps the five landmarks to the same positions for every model, up to size and scale
(``faces.align``). So the crop of one model is an exact function of a wider crop of the same face,
and a change of model needs neither the photo nor new landmarks.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.errors import GalleryDamagedError
from visavis.faces import align
from visavis.types import Image

SCALE: Final = 0.5
"""Half the usual face size: the widest crop that a model may ask for."""

_SMALLEST, _LARGEST = 112, 320


def cut_out(image: Image, landmarks: NDArray[np.floating]) -> bytes:
    """Returns the aligned face with a margin, as PNG bytes.

    The side, 112 to 320 pixels, keeps the resolution of the photo.

    Args:
        image: upright RGB photo, ``(H, W, 3)`` uint8.
        landmarks: ``(5, 2)`` pixels of the photo.

    Raises:
        OptionError: unusable landmarks.
    """
    import cv2

    matrix = align.similarity(landmarks, align.positions(scale=SCALE))
    per_pixel = 1 / max(float(np.hypot(matrix[0, 0], matrix[1, 0])), 1e-6)
    side = int(np.clip(np.ceil(align.TEMPLATE_SIZE * per_pixel), _SMALLEST, _LARGEST))
    kept = align.crop(image, landmarks, size=side, scale=SCALE)
    _, encoded = cv2.imencode(".png", kept[..., ::-1])
    return bytes(encoded)


def recrop(png: bytes, *, size: int, scale: float) -> Image:
    """Returns a model's crop, ``(size, size, 3)`` RGB uint8, from what ``cut_out`` stored.

    Args:
        png: the result of ``cut_out``.
        size: side in pixels.
        scale: the model's crop scale, 0.5 to 2.

    Raises:
        GalleryDamagedError: not a valid crop.
    """
    import cv2

    wide = cv2.imdecode(np.frombuffer(png, dtype=np.uint8), cv2.IMREAD_COLOR) if png else None
    if wide is None or wide.shape[0] != wide.shape[1]:
        raise GalleryDamagedError(
            "a stored crop that is not a square image", "enroll the photo again"
        )
    landmarks = align.positions(size=wide.shape[0], scale=SCALE)
    return align.crop(np.ascontiguousarray(wide[..., ::-1]), landmarks, size=size, scale=scale)
