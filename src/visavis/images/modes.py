"""Converts all color modes and bit depths to 8-bit RGB."""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from visavis.errors import ImageUnsupportedError

if TYPE_CHECKING:
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
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return _applied(ImageCms.buildTransform(lab, srgb, "LAB", "RGB"), image)


def _has_elements(profile: bytes) -> bool:
    """Returns whether a tag of the profile has the type ``mpet`` (ICC.1:2022, 10.16)."""
    offsets = (int.from_bytes(profile[at : at + 4], "big") for at in range(136, 136 + 1200, 12))
    return any(profile.startswith(b"mpet", offset) for offset in offsets)


@functools.lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    from PIL import ImageCms  # most photos need none, and it takes its time to load

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
    from PIL import ImageCms

    # Pillow returns None only for in-place conversion.
    return cast("PillowImage.Image", ImageCms.applyTransform(image, transform))


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
