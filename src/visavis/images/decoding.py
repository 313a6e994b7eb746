"""Decodes photos to upright RGB."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from PIL import Image as PillowImage

from visavis.images.arrays import from_array
from visavis.images.describe import describe
from visavis.images.failures import Quiet, Translate
from visavis.images.limits import DEFAULT_LIMITS, Limits, check_exif
from visavis.images.modes import to_rgb
from visavis.images.opening import load_pixels, open_image
from visavis.images.reading import read_bytes
from visavis.images.sniff import sniff
from visavis.types import Image

_ORIENTATION: Final = 0x0112
_TURN: Final = {
    2: PillowImage.Transpose.FLIP_LEFT_RIGHT,
    3: PillowImage.Transpose.ROTATE_180,
    4: PillowImage.Transpose.FLIP_TOP_BOTTOM,
    5: PillowImage.Transpose.TRANSPOSE,
    6: PillowImage.Transpose.ROTATE_270,
    7: PillowImage.Transpose.TRANSVERSE,
    8: PillowImage.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True, eq=False)
class LoadedImage:
    """A decoded photo with its hash and name.

    Attributes:
        pixels: upright RGB, ``(H, W, 3)`` uint8, C-contiguous.
        sha256: hash of the encoded bytes; of shape and pixels for an array or a PIL image.
        description: the source's name for messages.
    """

    pixels: Image
    sha256: str
    description: str

    def to_dict(self) -> dict[str, Any]:
        """Returns hash, size and name, without pixels."""
        height, width, _ = self.pixels.shape
        return {
            "description": self.description,
            "sha256": self.sha256,
            "width": width,
            "height": height,
        }


def decode(source: Any, /, *, limits: Limits = DEFAULT_LIMITS, name: str | None = None) -> Image:
    """Decodes a photo to upright RGB.

    Args:
        source: a path (``str`` or ``os.PathLike``), encoded bytes, a binary file object (read from
            its current position), a ``PIL.Image.Image`` (its current frame), or a uint8 array:
            ``(H, W)`` or ``(H, W, 1)`` gray, ``(H, W, 3)`` RGB, ``(H, W, 4)`` RGBA.
        limits: size limits, checked before pixels are decoded.
        name: name of the photo in messages; default ``describe(source)``.

    Returns:
        ``(H, W, 3)`` uint8 RGB, C-contiguous, rotated by its EXIF orientation, in sRGB, on a white
        background; the first image of several. Always a new, writable array.

    Raises:
        ImageNotFoundError: no such file, or not a readable regular file; URLs are not fetched.
        NotAnImageError: not one of the accepted formats.
        ImageTruncatedError: empty, cut off or damaged.
        ImageTooLargeError: over a limit.
        ImageUnsupportedError: an unsupported image: float or 32-bit pixels, an array of another
            dtype or shape, no pixels.
        MissingExtraError: a HEIC photo without pillow-heif.

    >>> decode(np.full((2, 3), 7, np.uint8)).shape
    (2, 3, 3)
    """
    name = describe(source) if name is None else name
    if isinstance(source, np.ndarray):
        return from_array(source, limits, name)
    if isinstance(source, PillowImage.Image):
        return _decode_pillow(source, limits, name)
    return _decode_bytes(read_bytes(source, limits=limits, name=name), limits, name)


def load(
    source: Any, /, *, limits: Limits = DEFAULT_LIMITS, name: str | None = None
) -> LoadedImage:
    """Decodes and hashes a photo, reading it once; arguments and errors of :func:`decode`."""
    name = describe(source) if name is None else name
    if isinstance(source, (np.ndarray, PillowImage.Image)):
        pixels = decode(source, limits=limits, name=name)
        return LoadedImage(pixels, digest(pixels), name)
    data = read_bytes(source, limits=limits, name=name)
    return LoadedImage(_decode_bytes(data, limits, name), digest(data), name)


def digest(data: bytes | Image, /) -> str:
    """Returns the hexadecimal SHA-256 of an encoded photo, or of decoded pixels and their shape.

    >>> digest(b"")[:12]
    'e3b0c44298fc'
    """
    if isinstance(data, np.ndarray):
        state = hashlib.sha256(f"visavis pixels {data.shape} {data.dtype}\n".encode())
        state.update(np.ascontiguousarray(data).data)
        return state.hexdigest()
    return hashlib.sha256(data).hexdigest()


def _decode_bytes(data: bytes, limits: Limits, name: str) -> Image:
    kind = sniff(data, name)
    with Quiet(), Translate(name, kind) as header:
        opened = open_image(data, kind, limits, name)
        header.opened = True
        image = load_pixels(opened, kind, data)
        # Some readers know the true size only while decoding.
        limits.check_size(*image.size, name)
        return _upright_rgb(image, kind, name)


def _decode_pillow(image: PillowImage.Image, limits: Limits, name: str) -> Image:
    limits.check_size(*image.size, name)
    with Quiet(), Translate(name, "image"):
        image.load()
        return _upright_rgb(image, "image", name)


def _upright_rgb(image: PillowImage.Image, kind: str, name: str) -> Image:
    for key in ("exif", "Raw profile type exif"):
        value = image.info.get(key)
        check_exif(len(value) if isinstance(value, (bytes, str)) else 0, name)
    turn = _TURN.get(_orientation(image))
    image = to_rgb(image, kind, name)
    if turn is not None:
        image = image.transpose(turn)
    return np.array(image)


def _orientation(image: PillowImage.Image) -> int:
    """EXIF orientation; 1 if missing or damaged."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except (SyntaxError, ValueError, LookupError, TypeError, OSError, EOFError, struct.error):
        return 1
    return value if isinstance(value, int) else 1
