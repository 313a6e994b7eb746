"""What the eight EXIF orientations mean, by numpy turns and flips alone."""

from __future__ import annotations

import numpy as np


def as_stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """The pixels that a camera stores for this upright picture under that orientation.

    CIPA DC-008 (EXIF 2.32), tag 0x0112: where row 0 and column 0 of the stored pixels are in the
    picture: 1 top left, 2 top right, 3 bottom right, 4 bottom left, 5 left top, 6 right top,
    7 right bottom, 8 left bottom.
    """
    stored = {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: np.rot90(p, 1),
        7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
        8: lambda p: np.rot90(p, -1),
    }[orientation](upright)
    return np.ascontiguousarray(stored)
