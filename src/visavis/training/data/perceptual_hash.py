"""Perceptual hashes of crops, to find copies of a photo.

A hash is a gray thumbnail of the aligned face without its coarse shading, which all faces share:
what is left are the edges of this one picture. A photo that was saved again, scaled or cropped has
its landmarks found a little elsewhere, so two hashes are compared twice: their product selects
candidates, and ``registered_similarity``, which lays one over the other, decides. Measured on
Labeled Faces in the Wild in ``docs/concepts/training-data.md``.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.faces import align
from visavis.types import Crops

CANDIDATE: Final = 0.65
"""Least product of hashes with which two crops are laid over each other."""
THRESHOLD: Final = 0.93
"""Least similarity, after registration, of two crops of the same picture."""
SIDE: Final = 24
VIEW: Final = 96
"""Side in pixels of the view, at scale 1, that is reduced to ``SIDE``."""
_FARTHEST: Final = 0.2  # most stretch, turn and shift that lays one over the other
_MARGIN: Final = 2  # pixels at the border, where the one may lack what the other shows
_SHADING: Final = 3.0  # standard deviation, in pixels of SIDE, of the shading that is taken away


def hash_crops(crops: Crops, *, size: int, scale: float) -> NDArray[np.float32]:
    """Returns perceptual hashes of crops, comparable across geometries.

    Args:
        crops: ``(N, size, size, 3)`` RGB uint8.
        size: their side in pixels.
        scale: size of the face in them, as in ``faces.align.crop``.

    Returns:
        ``(N, SIDE * SIDE)`` float32, each row of unit length, or zero where the crop is of one
        color.
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
    """Returns the hashes of the mirrored crops."""
    turned = rows.reshape(-1, SIDE, SIDE)[:, :, ::-1]
    return np.ascontiguousarray(turned).reshape(len(rows), SIDE * SIDE)


def registered_similarity(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Similarity of two hashes after the second was laid over the first.

    The affine map that correlates best is found by ECC (G. D. Evangelidis and E. Z. Psarakis,
    "Parametric image alignment using enhanced correlation coefficient maximization", IEEE TPAMI
    30(10), 2008).

    Args:
        one: ``(SIDE * SIDE,)`` float32.
        other: ``(SIDE * SIDE,)`` float32.

    Returns:
        Correlation of the two pictures but for their borders, in [-1, 1]; -1 where no map near
        the identity correlates them.
    """
    import cv2

    first, second = (np.reshape(row * SIDE, (SIDE, SIDE)) for row in (one, other))
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-4)
    start = np.eye(2, 3, dtype=np.float32)
    try:
        _, found = cv2.findTransformECC(first, second, start, cv2.MOTION_AFFINE, stop, None, 1)
    except cv2.error:  # it went out of the picture
        return -1.0
    change = found[:, :2] - np.eye(2)
    shift = (change @ (SIDE / 2, SIDE / 2) + found[:, 2]) / SIDE
    if max(np.abs(change).max(), np.abs(shift).max()) > _FARTHEST:
        return -1.0
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(second, found, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REFLECT)
    inner = slice(_MARGIN, -_MARGIN)
    a, b = (part[inner, inner] - part[inner, inner].mean() for part in (first, laid))
    length = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / length if length > 0 else -1.0
