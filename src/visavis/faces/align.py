"""Aligns faces: one similarity transform from five landmarks to a square crop.

The transform is the least-squares similarity (rotation, uniform scale, shift; no shear, no
mirroring) of S. Umeyama, "Least-squares estimation of transformation parameters between two point
patterns", IEEE TPAMI 13(4), 1991.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.errors import OptionError
from visavis.types import Crops, Image

TEMPLATE: Final[NDArray[np.float64]] = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
"""The five landmarks in a 112x112 crop: the positions used to train ArcFace-style networks,
including SFace (Deng et al., CVPR 2019)."""

TEMPLATE_SIZE: Final = 112
_MIDDLE: Final = (56.0, 72.0)  # between eyes and mouth


def similarity(source: NDArray[np.floating], target: NDArray[np.floating]) -> NDArray[np.float64]:
    """Returns the least-squares similarity transform from ``source`` to ``target`` points.

    Args:
        source: ``(K, 2)`` points, K at least 2, not all equal.
        target: ``(K, 2)`` points.

    Returns:
        ``(2, 3)`` matrix A with ``target ~ A[:, :2] @ source + A[:, 2]``.

    Raises:
        OptionError: shapes differ, or the source points coincide or are not finite.

    >>> similarity(np.array([[0, 0], [1, 0], [0, 1.0]]), np.array([[2, 3], [2, 5], [0, 3.0]]))
    array([[ 0., -2.,  2.],
           [ 2.,  0.,  3.]])
    """
    source = np.asarray(source, dtype=np.float64)
    target = np.asarray(target, dtype=np.float64)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1:] != (2,):
        raise OptionError(
            f"point lists of shapes {source.shape} and {target.shape}", "give two of shape (K, 2)"
        )
    # A similarity transform is z -> a z + b over complex numbers: a linear least-squares problem.
    z = source[:, 0] + 1j * source[:, 1]
    w = target[:, 0] + 1j * target[:, 1]
    centered = z - z.mean()
    spread = float(np.vdot(centered, centered).real)
    if not np.isfinite(spread) or spread <= 1e-12:
        raise OptionError("landmarks that coincide or are not finite", "give five distinct points")
    a = np.vdot(centered, w - w.mean()) / spread
    b = w.mean() - a * z.mean()
    # + 0.0 turns negative zeros into zeros.
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]]) + 0.0


def positions(*, size: int = TEMPLATE_SIZE, scale: float = 1.0) -> NDArray[np.float64]:
    """Returns the positions of a face's landmarks in its aligned crop.

    Args:
        size: side of the crop in pixels.
        scale: see ``crop``.

    Returns:
        ``(5, 2)`` pixels of the crop.

    >>> positions()[0].tolist() == TEMPLATE[0].tolist()
    True
    """
    # Scales pixel centers, not corners: the template's origin is half a pixel outside.
    template = (TEMPLATE - _MIDDLE) * scale + _MIDDLE
    return np.asarray((template + 0.5) * (size / TEMPLATE_SIZE) - 0.5)


def crop(
    image: Image,
    landmarks: NDArray[np.floating],
    *,
    size: int = TEMPLATE_SIZE,
    scale: float = 1.0,
) -> Image:
    """Returns the aligned face, ``(size, size, 3)`` RGB uint8; black outside the photo.

    A face much larger than the crop is first reduced by area averaging, to avoid aliasing.

    Args:
        image: upright RGB photo, ``(H, W, 3)`` uint8.
        landmarks: ``(5, 2)`` pixels of the photo, order as in ``types.Face``.
        size: side of the crop in pixels; the template is scaled to it.
        scale: size of the face relative to the template, about its center; below 1 the crop shows
            more around the face.

    Raises:
        OptionError: ``size`` below 8, or unusable landmarks.
    """
    import cv2

    if size < 8:
        raise OptionError(f"a crop of {size} pixels", "ask for 8 or more")
    target = positions(size=size, scale=scale)
    points = np.asarray(landmarks, dtype=np.float64)
    matrix = similarity(points, target)
    factor = int(1 / max(np.hypot(matrix[0, 0], matrix[1, 0]), 1e-6))
    if factor >= 2:
        image, offset = _region(image, matrix, size, factor)
        height, width = image.shape[:2]
        image = cv2.resize(image, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
        points = (points - offset + 0.5) / factor - 0.5
        matrix = similarity(points, target)
    aligned: Image = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR)
    return aligned


def _region(
    image: Image, matrix: NDArray[np.float64], size: int, factor: int
) -> tuple[Image, NDArray[np.float64]]:
    """Returns the part of the photo for the crop, in whole blocks, and its top left corner."""
    inverse = np.linalg.inv(matrix[:, :2])
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]]) - matrix[:, 2]
    corners = corners @ inverse.T
    low = np.floor(corners.min(0)).astype(int) - 2 * factor
    high = np.ceil(corners.max(0)).astype(int) + 2 * factor
    low = np.clip(low, 0, None)
    high = np.minimum(high, image.shape[1::-1])
    high = np.maximum(high, low + factor)
    high = low + (high - low) // factor * factor
    part = image[low[1] : high[1], low[0] : high[0]]
    if part.shape[0] < factor or part.shape[1] < factor:  # the face lies outside the photo
        return image, np.zeros(2)
    return part, low.astype(np.float64)


def crops(
    image: Image, landmarks: list[NDArray[np.floating]], *, size: int = 112, scale: float = 1.0
) -> Crops:
    """Returns aligned crops of several faces of one photo, ``(N, size, size, 3)`` RGB uint8."""
    if not landmarks:
        return np.zeros((0, size, size, 3), dtype=np.uint8)
    return np.stack([crop(image, points, size=size, scale=scale) for points in landmarks])
