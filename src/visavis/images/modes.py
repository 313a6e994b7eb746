"""Converts all color modes and bit depths to 8-bit RGB."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from visavis.errors import ImageUnsupportedError
from visavis.images.color import lab_to_srgb, to_srgb


def scale(values: NDArray[np.integer[Any]], white: int) -> NDArray[np.uint8]:
    """Scales 0..white to 0..255, rounded; values above white become 255.

    Args:
        values: unsigned samples of at most 16 bits, any shape.
        white: the sample value of white, 1..65535.

    >>> scale(np.array([0, 128, 129, 65535]), 65535)
    array([  0,   0,   1, 255], dtype=uint8)
    """
    levels = np.arange(white + 1, dtype=np.int64)
    table = ((levels * 510 + white) // (2 * white)).astype(np.uint8)
    scaled: NDArray[np.uint8] = table[np.minimum(values, white)]
    return scaled


_BITS_PER_SAMPLE: Final = 258  # TIFF tags
_PHOTOMETRIC: Final = 262
_WHITE_IS_ZERO: Final = 0
_ALPHA_OF: Final = {"La": "LA", "RGBa": "RGBA"}


def to_rgb(image: PillowImage.Image, kind: str, name: str) -> PillowImage.Image:
    """Converts a decoded image to mode RGB.

    Args:
        image: any mode. Transparent pixels become white. 16-bit gray is scaled by its full range,
            0..65535 (0..4095 for 12-bit samples), not by the values that occur.
        kind: its format, as named by ``sniff``, or ``image``.
        name: its name in messages.

    Raises:
        ImageUnsupportedError: 32-bit integers and floats, whose white value is unknown.
    """
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes):
        profile = None
    # Plain PGM files of 9 to 16 bits come as I, scaled to 65535.
    if image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PPM", "PNG")):
        image = _scale_deep_gray(image)
    elif image.mode in ("I", "F"):
        raise ImageUnsupportedError(
            f"{name} has {'32-bit integer' if image.mode == 'I' else 'float'} pixels, "
            "of which nothing says what white is",
            "scale them to 0..255 yourself and pass uint8",
        )
    elif image.mode == "LAB":
        return lab_to_srgb(image)
    if image.has_transparency_data:
        image = _on_white(image)
    elif image.mode not in ("RGB", "L", "CMYK"):
        image = image.convert("RGB")
    return to_srgb(image, profile)


def _scale_deep_gray(image: PillowImage.Image) -> PillowImage.Image:
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE, (16,))
    white = (1 << bits[0]) - 1
    key = image.info.get("transparency")
    gray = scale(values, white)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        gray = 255 - gray
    if isinstance(key, int):
        gray[values == key] = 255
    return PillowImage.fromarray(gray)


def _on_white(image: PillowImage.Image) -> PillowImage.Image:
    key = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(key, tuple) and max(key) > 255:
        # A 16-bit color key: its low bits are lost.
        image = image.copy()
        del image.info["transparency"]
        return image
    if image.mode in _ALPHA_OF:
        image = image.convert(_ALPHA_OF[image.mode])
    if image.mode != "RGBA":
        image = image.convert("RGBA")
    if image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB")
    white = PillowImage.new("RGB", image.size, "white")
    white.paste(image, mask=image)
    return white
