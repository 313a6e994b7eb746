"""Brightness, contrast, saturation and colour balance as one linear map of the channels."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def change_colour(
    images: Tensor, *, strength: float, gray: float, rng: np.random.Generator
) -> Tensor:
    """Change the colours of every image by its own factors, drawn between 1 - and 1 + strength.

    The four changes are linear in the channels, so they are multiplied into one 3x3 matrix and an
    offset an image and applied at once; kornia's operations one after the other take ten times as
    long. Contrast is taken about the image's mean.

    Args:
        images: ``(B, 3, H, W)`` float, 0 to 255.
        strength: 0 to 1; balance between the channels takes a quarter of it.
        gray: share of images that lose their colour.
        rng: where the draws come from.

    Returns:
        Like `images`, within 0 to 255; channels-last on the CPU.
    """
    count = len(images)
    drawn = 1 + strength * rng.uniform(-1, 1, (3, count))
    balance = 1 + strength / 4 * rng.uniform(-1, 1, (count, 3))
    brightness, contrast, saturation = drawn
    colourless = rng.random(count) < gray
    saturation[colourless] = 0.0
    balance[colourless] = 1.0
    matrix = saturation[:, None, None] * np.eye(3) + (1 - saturation)[:, None, None] * _LUMA
    matrix = (brightness * contrast)[:, None, None] * balance[:, :, None] * matrix
    lift = (1 - contrast) * brightness
    change = _on_processor if images.device.type == "cpu" else _on_device
    return change(images, matrix, lift)


def _light(images: Tensor) -> Tensor:
    luma = torch.as_tensor(_LUMA, device=images.device, dtype=images.dtype)
    return images.mean((2, 3)) @ luma


def _on_device(images: Tensor, matrix: NDArray[np.float64], lift: NDArray[np.float64]) -> Tensor:
    """By torch alone; nothing comes back from the device, which would make it wait."""
    factors, lifts = (
        torch.as_tensor(part, device=images.device, dtype=images.dtype) for part in (matrix, lift)
    )
    offset = (lifts * _light(images))[:, None, None]
    turned = torch.baddbmm(offset, factors, images.flatten(2))
    return turned.clamp_(0, 255).view_as(images)


def _on_processor(images: Tensor, matrix: NDArray[np.float64], lift: NDArray[np.float64]) -> Tensor:
    """By OpenCV, on pixels whose channels lie side by side: a quarter of bmm's time."""
    offset = lift * _light(images).double().numpy()
    pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
    out = np.empty_like(pixels)
    maps = np.concatenate([matrix, np.broadcast_to(offset[:, None, None], (len(out), 3, 1))], 2)
    for pixel, change, place in zip(pixels, maps, out, strict=True):
        cv2.transform(pixel, change, dst=place)
    return torch.from_numpy(out).clamp_(0, 255).permute(0, 3, 1, 2)
