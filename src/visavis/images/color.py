"""Converts images with ICC profiles to sRGB."""

from __future__ import annotations

import functools
import io
from typing import Final, cast

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageCms

_SPACES: Final = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
_LARGEST_PROFILE: Final = 4_000_000
_MATTERS: Final = 16  # levels, mean over a coarse color grid


def to_srgb(image: PillowImage.Image, profile: bytes | None) -> PillowImage.Image:
    """Converts an image of mode L, RGB or CMYK to RGB, by its profile if relevant.

    Relative colorimetric with black point compensation. CMYK always uses its profile; without one
    ``red = (1 - cyan)(1 - black)`` and so on. L and RGB are treated as sRGB unless the profile
    moves colors by more than 16 of 255 levels on average: ProPhoto RGB (24) and linear light (41)
    are converted; Display P3 (10) and Adobe RGB (11) are not, because conversion doubles the
    decoding time and the cosine between SFace's templates is 0.997 or more. Broken profiles and
    profiles for another color space are ignored, and so are multi-process elements: their number is
    unbounded, and 250 KB of them take minutes.
    """
    if (
        profile
        and image.mode in _SPACES
        and len(profile) <= _LARGEST_PROFILE
        and not _has_elements(profile)
    ):
        transform = _transform(profile, image.mode)
        if transform is not None:
            image = _applied(transform, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def lab_to_srgb(image: PillowImage.Image) -> PillowImage.Image:
    """Converts CIE L*a*b* (D50), which Pillow's own ``convert`` does not support."""
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return _applied(ImageCms.buildTransform(lab, srgb, "LAB", "RGB"), image)


def _has_elements(profile: bytes) -> bool:
    """Whether one of the profile's tags is of the type ``mpet`` (ICC.1:2022, 10.16)."""
    offsets = (int.from_bytes(profile[at : at + 4], "big") for at in range(136, 136 + 1200, 12))
    return any(profile.startswith(b"mpet", offset) for offset in offsets)


@functools.lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _SPACES[mode]:
            return None
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            # Without lcms2's one-pixel cache a transform is thread-safe.
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOCACHE,
        )
        return transform if mode == "CMYK" or _mean_shift(transform, mode) > _MATTERS else None
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _mean_shift(transform: ImageCms.ImageCmsTransform, mode: str) -> float:
    """Mean color shift of the transform in levels, over a grid of colors."""
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    if mode == "L":
        grid = PillowImage.fromarray(levels[None, :])
    else:
        cube = np.stack(np.meshgrid(levels, levels, levels), -1)
        grid = PillowImage.fromarray(cube.reshape(9, 81, 3))
    before = np.asarray(grid.convert("RGB"), np.int16)
    return float(np.abs(before - np.asarray(_applied(transform, grid), np.int16)).mean())


def _applied(transform: ImageCms.ImageCmsTransform, image: PillowImage.Image) -> PillowImage.Image:
    # Pillow returns None only for in-place conversion.
    return cast("PillowImage.Image", ImageCms.applyTransform(image, transform))
