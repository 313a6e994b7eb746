"""Decodes photos to upright RGB."""

from __future__ import annotations

import hashlib
import os
import re
import struct
import threading
import warnings
import zlib
from types import TracebackType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageFile

from visavis.errors import (
    ImageError,
    ImageTooLargeError,
    ImageTruncatedError,
    ImageUnsupportedError,
    NotAnImageError,
    VisavisError,
)
from visavis.images.modes import to_rgb
from visavis.images.opening import ACCEPTED, load_pixels, open_image, sniff
from visavis.images.reading import (
    DEFAULT_LIMITS,
    Limits,
    check_exif,
    describe,
    printable,
    read_bytes,
    with_article,
)
from visavis.images.structure import check_directories
from visavis.types import Image

# The comment in the pattern distinguishes this filter from the host's.
_FILTER: Final = ("ignore", None, Warning, re.compile(r"(?:PIL|pi_heif)\.(?#visavis)"), 0)


class Quiet:
    """Context manager that silences Pillow's warnings and makes it refuse truncated files.

    ``warnings.catch_warnings`` replaces and restores process-wide state, which is not thread-safe.
    This adds one filter, for Pillow's modules only, while at least one thread is inside, and
    removes it when the last one leaves. It does the same for
    ``PIL.ImageFile.LOAD_TRUNCATED_IMAGES``: if the host has set it, Pillow fills missing parts of a
    photo and ignores codec errors.
    """

    __slots__ = ()
    _lock = threading.Lock()
    _inside = 0
    _lenient = False

    def __enter__(self) -> None:
        with Quiet._lock:
            Quiet._inside += 1
            if Quiet._inside == 1:
                # Not warnings.filterwarnings(): that also makes every module of the process forget
                # which warnings it has shown.
                _filters().insert(0, _FILTER)
                Quiet._lenient = ImageFile.LOAD_TRUNCATED_IMAGES
                ImageFile.LOAD_TRUNCATED_IMAGES = False

    def __exit__(self, *_: object) -> None:
        with Quiet._lock:
            Quiet._inside -= 1
            if Quiet._inside == 0:
                ImageFile.LOAD_TRUNCATED_IMAGES |= Quiet._lenient
                # Another thread's catch_warnings may have replaced the list.
                if _FILTER in _filters():
                    _filters().remove(_FILTER)


def _filters() -> list[Any]:
    return warnings.filters  # type: ignore[return-value]


# Exceptions of Pillow's readers for damaged files: the first six were found by fuzzing, the rest
# are in their code. Programming errors (AttributeError, NameError) are not included.
_RAISED: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    RuntimeError,
    PillowImage.DecompressionBombError,
    struct.error,
    zlib.error,
    LookupError,
    TypeError,
    ArithmeticError,
    MemoryError,
    Warning,
)
_WEAK_SIGNATURE: Final = frozenset(("BMP", "PPM"))
_TOO_LARGE: Final = re.compile(r"(?i)data too large|too much memory|security limit|out of memory")
_UNSUPPORTED: Final = re.compile(
    r"(?i)unsupported|not supported|not yet supported|cannot handle|unknown (?:pixel mode|compr)"
)
_EARLY: Final = re.compile(r"(?i)truncated|end of file|first frame|reached eof|no more images")


class Translate:
    """Context manager that translates Pillow's exceptions to the image errors of
    ``visavis.errors``.

    Args:
        name: name of the photo in messages.
        kind: its format, as ``sniff`` names it, or ``image``.
        opened: set to True after the header was read.
    """

    __slots__ = ("kind", "name", "opened")

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self.opened = False

    def __enter__(self) -> Translate:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, _RAISED) and not isinstance(error, VisavisError):
            raise self._translated(error) from error

    def _translated(self, error: BaseException) -> ImageError:
        text = printable(str(error))[:120] or type(error).__name__
        if isinstance(error, PillowImage.DecompressionBombError):
            return ImageTooLargeError(
                f"{self.name} has more pixels than Pillow takes ({text})", "scale the photo down"
            )
        if isinstance(error, MemoryError) or _TOO_LARGE.search(text):
            return ImageTooLargeError(
                f"{self.name} is {with_article(self.kind)} that takes too much memory ({text})",
                "scale the photo down and save it without extra data",
            )
        if not self.opened and self.kind in _WEAK_SIGNATURE:
            return NotAnImageError(
                f"{self.name} is not an image ({text})", f"pass a photo as {ACCEPTED}"
            )
        if _UNSUPPORTED.search(text):
            return ImageUnsupportedError(
                f"{self.name} is {with_article(self.kind)} of a kind that is not read ({text})",
                "save it anew as a plain JPEG or PNG",
            )
        state = "ends early" if _EARLY.search(text) else "is damaged"
        return ImageTruncatedError(
            f"{self.name} is {with_article(self.kind)} that {state} ({text})",
            "copy or download the photo again",
        )


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
_DECODED_AT_ONCE = threading.BoundedSemaphore(os.cpu_count() or 1)
_SIDEWAYS = {turn for orientation, turn in _TURN.items() if orientation >= 5}


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
        MissingExtraError: a HEIC photo without pi-heif.

    >>> decode(np.full((2, 3), 7, np.uint8)).shape
    (2, 3, 3)
    """
    name = describe(source) if name is None else name
    if isinstance(source, np.ndarray):
        return from_array(source, limits, name)
    if isinstance(source, PillowImage.Image):
        return _decode_pillow(source, limits, name)
    return _decode_bytes(read_bytes(source, limits=limits, name=name), limits, name)


def size(
    source: Any, /, *, limits: Limits = DEFAULT_LIMITS, name: str | None = None
) -> tuple[int, int]:
    """Returns width and height of a photo as ``decode`` would return it; see there.

    The pixels of a JPEG are not decoded. Of other photos no more are decoded at once than there are
    cores, however many threads ask: pixels take memory.

    Args:
        source: a path, encoded bytes, or a binary file object.
        limits: size limits.
        name: name of the photo in messages; default ``describe(source)``.
    """
    name = describe(source) if name is None else name
    data = read_bytes(source, limits=limits, name=name)
    kind = sniff(data, name)
    with Quiet(), Translate(name, kind) as header:
        opened = open_image(data, kind, limits, name)
        header.opened = True
        if kind == "JPEG":
            return _upright_size(opened, kind, name)
        with _DECODED_AT_ONCE:  # these may tell size or orientation behind the pixels
            image = load_pixels(opened, kind, data)
            limits.check_size(*image.size, name)
            return _upright_size(image, kind, name)


def _upright_size(image: PillowImage.Image, kind: str, name: str) -> tuple[int, int]:
    width, height = image.size
    return (height, width) if _turn(image, kind, name) in _SIDEWAYS else (width, height)


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
    turn = _turn(image, kind, name)
    image = to_rgb(image, kind, name)
    if turn is not None:
        image = image.transpose(turn)
    return np.array(image)


def _turn(image: PillowImage.Image, kind: str, name: str) -> PillowImage.Transpose | None:
    """What makes the photo upright, by its EXIF orientation."""
    for key in ("exif", "Raw profile type exif"):
        value = image.info.get(key)
        check_exif(len(value) if isinstance(value, (bytes, str)) else 0, name)
        check_directories(_exif_block(value), 0, name, kind)
    return _TURN.get(_orientation(image))


def _exif_block(value: object) -> bytes:
    """EXIF data without prefix; of PNG also as hexadecimal text; empty if damaged."""
    if isinstance(value, str):
        try:
            value = bytes.fromhex("".join(value.split("\n")[3:]))
        except ValueError:
            return b""
    return value.removeprefix(b"Exif\0\0") if isinstance(value, bytes) else b""


def _orientation(image: PillowImage.Image) -> int:
    """EXIF orientation; 1 if missing or damaged."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except (SyntaxError, ValueError, LookupError, TypeError, OSError, EOFError, struct.error):
        return 1
    return value if isinstance(value, int) else 1


_SHAPES = "pass uint8 of shape (H, W), (H, W, 1), (H, W, 3) in RGB order or (H, W, 4) RGBA"


def from_array(array: NDArray[Any], limits: Limits, name: str) -> Image:
    """Checks an array and converts it to three channels.

    Args:
        array: uint8, ``(H, W)`` or ``(H, W, 1)`` gray, ``(H, W, 3)`` RGB, ``(H, W, 4)`` RGBA on a
            white background.
        limits: pixel limits.
        name: its name for messages.

    Returns:
        ``(H, W, 3)`` uint8, C-contiguous, a copy.

    Raises:
        ImageUnsupportedError: any other dtype or shape.
        ImageTooLargeError: too many pixels.
    """
    if array.dtype != np.uint8:
        raise ImageUnsupportedError(name, _dtype_remedy(array.dtype))
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ImageUnsupportedError(name, _shape_remedy(array.shape))
    limits.check_size(array.shape[1], array.shape[0], name)
    plain = np.asarray(array)
    if plain.ndim == 2:
        plain = plain[:, :, None]
    if plain.shape[2] == 1:
        return np.repeat(plain, 3, axis=2)
    if plain.shape[2] == 4:
        return _on_white(plain)
    return np.array(plain, order="C")


def _on_white(rgba: Image) -> Image:
    alpha = rgba[:, :, 3:].astype(np.uint16)
    mixed = rgba[:, :, :3] * alpha + 255 * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def _dtype_remedy(dtype: np.dtype[Any]) -> str:
    if dtype.kind == "f":
        return (
            "pass uint8 in 0..255: (x * 255).round().astype('uint8') if yours is in 0..1, "
            "x.round().clip(0, 255).astype('uint8') if it is in 0..255"
        )
    if dtype.kind == "b":
        return "pass uint8 in 0..255: x.astype('uint8') * 255"
    if dtype.kind in "iu":
        return "pass uint8 in 0..255: scale by your camera's white level, then astype('uint8')"
    return _SHAPES


def _shape_remedy(shape: tuple[int, ...]) -> str:
    if len(shape) == 3 and shape[0] in (1, 3, 4):
        return "put the channels last: x.transpose(1, 2, 0)"
    if len(shape) == 4:
        return "pass one photo at a time: [decode(x) for x in batch]"
    return _SHAPES
