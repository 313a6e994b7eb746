"""The face as it may be kept with its template, so that another model can look at it later.

Every model takes the same five landmarks to the same places, up to size and scale
(``faces.align``). So a crop of one model is an exact function of a wider crop of the same face, and
a change of model needs neither the photo nor a second search for landmarks.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.errors import GalleryDamagedError
from visavis.faces import align
from visavis.types import Image

SCALE: Final = 0.5
"""The face fills half of what it does in the usual crop: the widest that a model may ask for."""

_SMALLEST, _LARGEST = 112, 320


def cut_out(image: Image, landmarks: NDArray[np.floating]) -> bytes:
    """A face with the room around it, upright, as PNG bytes.

    Its side is such that no pixel of the face is lost or made up, within 112 to 320.

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
    """The crop that a model wants, from what ``cut_out`` kept: ``(size, size, 3)`` RGB uint8.

    Args:
        png: what ``cut_out`` gave.
        size: side in pixels.
        scale: the model's crop scale, 0.5 to 2.

    Raises:
        GalleryDamagedError: not such a picture.
    """
    import cv2

    wide = cv2.imdecode(np.frombuffer(png, dtype=np.uint8), cv2.IMREAD_COLOR) if png else None
    if wide is None or wide.shape[0] != wide.shape[1]:
        raise GalleryDamagedError("a kept crop that is no square picture", "enroll the photo again")
    landmarks = align.positions(size=wide.shape[0], scale=SCALE)
    return align.crop(np.ascontiguousarray(wide[..., ::-1]), landmarks, size=size, scale=scale)
