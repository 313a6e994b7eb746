"""Checks that photos declared as aligned crops are aligned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from visavis import images
from visavis.errors import DataError, VisavisError
from visavis.faces.aligned import FARTHEST, misplaced
from visavis.training.data.sources import Photo
from visavis.types import Image

SAMPLE: Final = 24


def check_aligned(
    photos: Sequence[Photo], find: Callable[[Image, str], NDArray[np.floating[Any]]]
) -> None:
    """Refuse photos whose faces do not lie on the five-point template.

    Looked at are some photos, evenly spread. Those that cannot be read, are not square or show no
    face say nothing; unless half of them show a face, nothing is refused.

    Args:
        photos: in any order.
        find: pixels and name in, ``(5, 2)`` landmarks out, or one of our errors.

    Raises:
        DataError: says how far off they are.
    """
    rows = np.unique(np.linspace(0, len(photos) - 1, min(SAMPLE, len(photos))).round().astype(int))
    far: list[float] = []
    for photo in (photos[row] for row in rows):
        try:
            pixels = images.decode(photo.read(), name=photo.name)
            if pixels.shape[0] != pixels.shape[1]:
                continue
            landmarks = find(pixels, photo.name)
        except VisavisError:
            continue
        far.append(misplaced(landmarks, size=len(pixels)))
    if far and 2 * len(far) >= len(rows) and median(far) > FARTHEST:
        raise DataError(
            f"{photos[int(rows[0])].name} and others are not aligned crops: eyes, nose and mouth "
            f"lie {median(far):.0%} of the eye distance off the usual template",
            "omit --aligned, so that faces are detected and aligned",
        )
