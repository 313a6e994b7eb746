"""Random erasing: Z. Zhong et al., "Random Erasing Data Augmentation", AAAI 2020."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_AREA = (0.05, 0.25)
_ASPECT = 2.5  # longest side over shortest


def erase(images: Tensor, *, share: float, rng: np.random.Generator) -> Tensor:
    """Overwrite a rectangle of some images, half of them with one colour, half with noise.

    Args:
        images: ``(B, 3, H, W)`` float, 0 to 255; changed in place.
        share: share of images that are changed.
        rng: where the draws come from.
    """
    count, _, height, width = images.shape
    chosen = rng.random(count) < share
    areas = rng.uniform(*_AREA, count) * height * width
    aspects = _ASPECT ** rng.uniform(-1, 1, count)
    high = np.clip(np.sqrt(areas * aspects), 1, height).round().astype(int)
    wide = np.clip(np.sqrt(areas / aspects), 1, width).round().astype(int)
    top = (rng.random(count) * (height - high + 1)).astype(int)
    left = (rng.random(count) * (width - wide + 1)).astype(int)
    colours = rng.integers(0, 256, (count, 3))
    noisy = rng.random(count) < 0.5
    for i in np.flatnonzero(chosen):
        shape = (3, high[i], wide[i]) if noisy[i] else (3, 1, 1)
        filling = rng.integers(0, 256, shape) if noisy[i] else colours[i].reshape(shape)
        images[i, :, top[i] : top[i] + high[i], left[i] : left[i] + wide[i]] = torch.as_tensor(
            filling, device=images.device, dtype=images.dtype
        )
    return images
