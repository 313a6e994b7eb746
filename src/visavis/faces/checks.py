"""The one check that every detector makes of its input."""

from __future__ import annotations

import numpy as np

from visavis.errors import OptionError
from visavis.types import Image


def check_photo(image: object) -> Image:
    """The photo as a contiguous array; copied only when it is not one already.

    Raises:
        OptionError: not an ``(H, W, 3)`` uint8 array, or a side is 0.

    >>> check_photo(np.zeros((4, 5), dtype=np.uint8))
    Traceback (most recent call last):
    visavis.errors.OptionError: a uint8 array of shape (4, 5); give an upright RGB photo, ...
    """
    remedy = "give an upright RGB photo, uint8 of shape (H, W, 3): visavis.images.decode makes one"
    if not isinstance(image, np.ndarray):
        raise OptionError(f"a {type(image).__name__} instead of an array", remedy)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise OptionError(f"a {image.dtype} array of shape {image.shape}", remedy)
    return np.ascontiguousarray(image)
