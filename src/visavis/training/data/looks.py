"""What a crop looks like, in so few numbers that copies of a photo can be looked for.

A gray thumbnail of the aligned face without its coarse shading, which all faces share: what is
left are the edges of this one picture. The product of two looks is 1 for the same picture, and
stays above ``THRESHOLD`` when it is saved again, scaled, or cropped otherwise and aligned anew.
Photos of two people stay below it; of one person, only frames of the same moment reach it.
Measured on Labeled Faces in the Wild in ``docs/concepts/training-data.md``.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.faces import align
from visavis.types import Crops

THRESHOLD: Final = 0.92
"""From this product on, two crops are taken for the same picture."""
SIDE: Final = 24
VIEW: Final = 96
"""Side in pixels of the view, at scale 1, that is reduced to ``SIDE``."""
_SHADING: Final = 3.0  # standard deviation, in pixels of SIDE, of the shading that is taken away


def looks(crops: Crops, *, size: int, scale: float) -> NDArray[np.float32]:
    """Looks of crops of one geometry, comparable with those of any other.

    Args:
        crops: ``(N, size, size, 3)`` RGB uint8.
        size: their side in pixels.
        scale: size of the face in them, as in ``faces.align.crop``.

    Returns:
        ``(N, SIDE * SIDE)`` float32, each row of unit length, or zero where the crop is of one
        colour.
    """
    import cv2

    view = align.similarity(
        align.positions(size=size, scale=scale), align.positions(size=VIEW, scale=1.0)
    )
    rows = np.zeros((len(crops), SIDE, SIDE), dtype=np.float32)
    for row, crop in zip(rows, crops, strict=True):
        gray = cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_RGB2GRAY).astype(np.float32)
        gray = cv2.warpAffine(gray, view, (VIEW, VIEW), borderMode=cv2.BORDER_REPLICATE)
        small = cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        row[:] = small - cv2.GaussianBlur(small, (0, 0), _SHADING)
    flat = rows.reshape(len(crops), SIDE * SIDE)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    # Less than a gray level of difference over the whole face is no picture.
    unit: NDArray[np.float32] = np.where(length > SIDE, flat / np.maximum(length, 1e-9), 0)
    return unit.astype(np.float32)


def mirrored(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Looks of the mirrored crops."""
    turned = rows.reshape(-1, SIDE, SIDE)[:, :, ::-1]
    return np.ascontiguousarray(turned).reshape(len(rows), SIDE * SIDE)
