"""What JPEG compression leaves of a face."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

_QUALITY = (15, 80)


def compress(images: Tensor, *, share: float, rng: np.random.Generator) -> Tensor:
    """Write some images as JPEG of quality 15 to 80 and read them back.

    The real encoder (libjpeg, through OpenCV) on the chosen images takes a twentieth of the time
    of kornia's differentiable `RandomJPEG` on a CPU, and gives what files hold.

    Args:
        images: ``(B, 3, H, W)`` float, 0 to 255; changed in place.
        share: share of images that are changed.
        rng: where the draws come from.
    """
    count = len(images)
    chosen = rng.random(count) < share
    quality = rng.integers(_QUALITY[0], _QUALITY[1] + 1, count)
    rows = np.flatnonzero(chosen)
    if not len(rows):
        return images
    pixels = images[rows].round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    for pixel, level in zip(pixels, quality[rows], strict=True):
        setting = [cv2.IMWRITE_JPEG_QUALITY, int(level)]
        _, data = cv2.imencode(".jpg", cv2.cvtColor(pixel, cv2.COLOR_RGB2BGR), setting)
        pixel[:] = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    images[rows] = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(images.device, images.dtype)
    return images
