"""Out of focus, or moved while the shutter was open."""

from __future__ import annotations

import math

import numpy as np
import torch
from kornia.filters import gaussian_blur2d, motion_blur
from torch import Tensor

_SIGMA = (0.008, 0.025)
"""Standard deviation of the Gaussian, as a share of the side: 0.9 to 2.8 pixels of 112."""
_MOTION = 0.3
"""Share of the blurred images whose blur is that of a straight movement."""


def blur(images: Tensor, *, share: float, rng: np.random.Generator) -> Tensor:
    """Blur some images, most by a Gaussian, the others along a line of any direction.

    Args:
        images: ``(B, 3, H, W)`` float, 0 to 255; changed in place.
        share: share of images that are blurred.
        rng: where the draws come from.
    """
    count, side = len(images), images.shape[-1]
    chosen = rng.random(count) < share
    moving = rng.random(count) < _MOTION
    sigma = side * rng.uniform(*_SIGMA, count)
    angle = rng.uniform(0, 180, count)
    kernel = 2 * math.ceil(2.5 * _SIGMA[1] * side) + 1
    focus, motion = np.flatnonzero(chosen & ~moving), np.flatnonzero(chosen & moving)
    if len(focus):
        spread = torch.as_tensor(sigma[focus], device=images.device, dtype=images.dtype)
        images[focus] = gaussian_blur2d(
            images[focus], (kernel, kernel), spread[:, None].expand(-1, 2), "replicate"
        )
    if len(motion):
        turned = torch.as_tensor(angle[motion], device=images.device, dtype=images.dtype)
        straight = torch.zeros_like(turned)
        line = max(3, round(0.05 * side) | 1)
        images[motion] = motion_blur(images[motion], line, turned, straight, "replicate")
    return images
