"""Samples of any depth to 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def scale(values: NDArray[np.integer[Any]], white: int) -> NDArray[np.uint8]:
    """Scale 0..white to 0..255, each to the nearest level; what is above white becomes white.

    Args:
        values: unsigned samples of at most 16 bits, any shape.
        white: the sample value that means white, 1..65535.

    >>> scale(np.array([0, 128, 129, 65535]), 65535)
    array([  0,   0,   1, 255], dtype=uint8)
    """
    levels = np.arange(white + 1, dtype=np.int64)
    table = ((levels * 510 + white) // (2 * white)).astype(np.uint8)
    scaled: NDArray[np.uint8] = table[np.minimum(values, white)]
    return scaled
