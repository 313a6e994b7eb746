"""Faces that were only a few pixels wide in their photo."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from torch import Tensor

SMALLEST, LARGEST = 0.25, 0.7
"""What is left of the side."""


def lower_resolution(images: Tensor, *, share: float, rng: np.random.Generator) -> Tensor:
    """Reduce some images and enlarge them again.

    Args:
        images: ``(B, 3, S, S)`` float, 0 to 255; changed in place.
        share: share of images that are changed.
        rng: where the draws come from.
    """
    count, side = len(images), images.shape[-1]
    chosen = rng.random(count) < share
    left = np.maximum(4, np.round(side * rng.uniform(SMALLEST, LARGEST, count))).astype(int)
    for i in np.flatnonzero(chosen):
        small = F.interpolate(images[i : i + 1], int(left[i]), mode="bilinear", antialias=True)
        images[i] = F.interpolate(small, side, mode="bilinear")[0]
    return images
