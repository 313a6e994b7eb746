"""Photometric augmentations: blur, resolution, color, JPEG compression, random erasing."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d, motion_blur
from numpy.typing import NDArray
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


_SMALLEST, _LARGEST = 0.25, 0.7
"""Remaining share of the side."""


def lower_resolution(images: Tensor, *, share: float, rng: np.random.Generator) -> Tensor:
    """Reduce some images, as if of faces a few pixels wide, and enlarge them again.

    Args:
        images: ``(B, 3, S, S)`` float, 0 to 255; changed in place.
        share: share of images that are changed.
        rng: where the draws come from.
    """
    count, side = len(images), images.shape[-1]
    chosen = rng.random(count) < share
    left = np.maximum(4, np.round(side * rng.uniform(_SMALLEST, _LARGEST, count))).astype(int)
    for i in np.flatnonzero(chosen):
        small = F.interpolate(images[i : i + 1], int(left[i]), mode="bilinear", antialias=True)
        images[i] = F.interpolate(small, side, mode="bilinear")[0]
    return images


_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def change_color(
    images: Tensor, *, strength: float, gray: float, rng: np.random.Generator
) -> Tensor:
    """Change the colors of every image by its own factors, drawn between 1 - and 1 + strength.

    The four changes are linear in the channels, so they are multiplied into one 3x3 matrix and an
    offset an image and applied at once; kornia's operations one after the other take ten times as
    long. Contrast is taken about the image's mean.

    Args:
        images: ``(B, 3, H, W)`` float, 0 to 255.
        strength: 0 to 1; balance between the channels takes a quarter of it.
        gray: share of images that lose their color.
        rng: where the draws come from.

    Returns:
        Like `images`, within 0 to 255; channels-last on the CPU.
    """
    count = len(images)
    drawn = 1 + strength * rng.uniform(-1, 1, (3, count))
    balance = 1 + strength / 4 * rng.uniform(-1, 1, (count, 3))
    brightness, contrast, saturation = drawn
    colorless = rng.random(count) < gray
    saturation[colorless] = 0.0
    balance[colorless] = 1.0
    matrix = saturation[:, None, None] * np.eye(3) + (1 - saturation)[:, None, None] * _LUMA
    matrix = (brightness * contrast)[:, None, None] * balance[:, :, None] * matrix
    lift = (1 - contrast) * brightness
    change = _on_processor if images.device.type == "cpu" else _on_device
    return change(images, matrix, lift)


def _light(images: Tensor) -> Tensor:
    luma = torch.as_tensor(_LUMA, device=images.device, dtype=images.dtype)
    return images.mean((2, 3)) @ luma


def _on_device(images: Tensor, matrix: NDArray[np.float64], lift: NDArray[np.float64]) -> Tensor:
    """By torch alone; nothing is copied back from the device."""
    factors, lifts = (
        torch.as_tensor(part, device=images.device, dtype=images.dtype) for part in (matrix, lift)
    )
    offset = (lifts * _light(images))[:, None, None]
    turned = torch.baddbmm(offset, factors, images.flatten(2))
    return turned.clamp_(0, 255).view_as(images)


def _on_processor(images: Tensor, matrix: NDArray[np.float64], lift: NDArray[np.float64]) -> Tensor:
    """By OpenCV on channels-last pixels, in a quarter of the time of torch's bmm."""
    offset = lift * _light(images).double().numpy()
    pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
    out = np.empty_like(pixels)
    maps = np.concatenate([matrix, np.broadcast_to(offset[:, None, None], (len(out), 3, 1))], 2)
    for pixel, change, place in zip(pixels, maps, out, strict=True):
        cv2.transform(pixel, change, dst=place)
    return torch.from_numpy(out).clamp_(0, 255).permute(0, 3, 1, 2)


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


_AREA = (0.05, 0.25)
_ASPECT = 2.5  # longest side over shortest


def erase(images: Tensor, *, share: float, rng: np.random.Generator) -> Tensor:
    """Overwrite a rectangle of some images, half of them with one color, half with noise.

    Z. Zhong et al., "Random Erasing Data Augmentation", AAAI 2020.

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
    colors = rng.integers(0, 256, (count, 3))
    noisy = rng.random(count) < 0.5
    for i in np.flatnonzero(chosen):
        shape = (3, high[i], wide[i]) if noisy[i] else (3, 1, 1)
        filling = rng.integers(0, 256, shape) if noisy[i] else colors[i].reshape(shape)
        images[i, :, top[i] : top[i] + high[i], left[i] : left[i] + wide[i]] = torch.as_tensor(
            filling, device=images.device, dtype=images.dtype
        )
    return images


def mix(images: Tensor, *, share: float, rng: np.random.Generator) -> Tensor:
    """Mix the image before it into some images, at up to half.

    Args:
        images: ``(B, 3, H, W)`` float, 0 to 255.
        share: share of images that are changed.
        rng: where the draws come from.
    """
    weights = np.where(rng.random(len(images)) < share, rng.uniform(0, 0.5, len(images)), 0)
    second = torch.as_tensor(weights, device=images.device, dtype=images.dtype)
    return torch.lerp(images, images.roll(1, 0), second[:, None, None, None])
