"""Accepts arrays as photos."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.errors import ImageUnsupportedError
from visavis.images.limits import Limits
from visavis.types import Image

_SHAPES = "pass uint8 of shape (H, W), (H, W, 1), (H, W, 3) in RGB order or (H, W, 4) RGBA"


def from_array(array: NDArray[Any], limits: Limits, name: str) -> Image:
    """Checks an array and converts it to three channels.

    Args:
        array: uint8, ``(H, W)`` or ``(H, W, 1)`` gray, ``(H, W, 3)`` RGB, ``(H, W, 4)`` RGBA on a
            white background.
        limits: pixel limits.
        name: its name for messages.

    Returns:
        ``(H, W, 3)`` uint8, C-contiguous, a copy.

    Raises:
        ImageUnsupportedError: any other dtype or shape.
        ImageTooLargeError: too many pixels.
    """
    if array.dtype != np.uint8:
        raise ImageUnsupportedError(name, _dtype_remedy(array.dtype))
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ImageUnsupportedError(name, _shape_remedy(array.shape))
    limits.check_size(array.shape[1], array.shape[0], name)
    plain = np.asarray(array)
    if plain.ndim == 2:
        plain = plain[:, :, None]
    if plain.shape[2] == 1:
        return np.repeat(plain, 3, axis=2)
    if plain.shape[2] == 4:
        return _on_white(plain)
    return np.array(plain, order="C")


def _on_white(rgba: Image) -> Image:
    alpha = rgba[:, :, 3:].astype(np.uint16)
    mixed = rgba[:, :, :3] * alpha + 255 * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def _dtype_remedy(dtype: np.dtype[Any]) -> str:
    if dtype.kind == "f":
        return (
            "pass uint8 in 0..255: (x * 255).round().astype('uint8') if yours is in 0..1, "
            "x.round().clip(0, 255).astype('uint8') if it is in 0..255"
        )
    if dtype.kind == "b":
        return "pass uint8 in 0..255: x.astype('uint8') * 255"
    if dtype.kind in "iu":
        return "pass uint8 in 0..255: scale by your camera's white level, then astype('uint8')"
    return _SHAPES


def _shape_remedy(shape: tuple[int, ...]) -> str:
    if len(shape) == 3 and shape[0] in (1, 3, 4):
        return "put the channels last: x.transpose(1, 2, 0)"
    if len(shape) == 4:
        return "pass one photo at a time: [decode(x) for x in batch]"
    return _SHAPES
