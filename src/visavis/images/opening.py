"""Opens encoded bytes as a Pillow image, without decoding."""

from __future__ import annotations

import importlib
import io
import re
from typing import Any, Final, cast

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageFile

from visavis.errors import MissingExtraError, require_extra
from visavis.images import jpeg, tiff
from visavis.images.jpeg2000 import check_codestreams
from visavis.images.limits import Limits, refuse_excess
from visavis.images.modes import scale

_READERS: Final = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),  # of an MPO too, its first photo
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "WEBP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "PPM": ("PIL.PpmImagePlugin", "PpmImageFile"),
    "JPEG2000": ("PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "HEIF": ("pillow_heif", "HeifImageFile"),
}
_MOST_READS: Final = 1 << 18
_MOST_PROFILES: Final = 4  # each inflates to 1 MB, a thousandfold
_TIFF_HEADER: Final = re.compile(rb"II\*\x00|MM\x00\*|II\+\x00|MM\x00\+")
_MOST_RUN_LENGTH_CODED: Final = 4_000_000  # pixels; Pillow decodes these in Python


class _Stream(io.BytesIO):
    """Encoded bytes with a limited number of reads.

    Pillow's readers parse in Python, a few bytes at a time: for 100 MB of comments, padding or
    empty chunks that would take minutes and gigabytes.
    """

    def __init__(self, data: bytes, kind: str, name: str) -> None:
        super().__init__(data)
        self._kind = kind
        self._name = name
        self.left = _MOST_READS

    def read(self, size: int | None = -1, /) -> bytes:
        """Reads like ``io.BytesIO``.

        Raises:
            ImageUnsupportedError: too many reads.
        """
        self.left -= 1
        if self.left < 0:
            refuse_excess(self._name, self._kind, "more small parts than a photo has")
        return super().read(size)


def open_image(data: bytes, kind: str, limits: Limits, name: str) -> ImageFile.ImageFile:
    """Parses the header of an encoded photo of the format ``kind`` (see ``sniff``).

    Structures that need too much time or memory are refused before Pillow or its codecs see them.

    Pillow's reader is called directly, not through ``PIL.Image.open``, which would apply the
    process-wide ``PIL.Image.MAX_IMAGE_PIXELS`` and warn.

    Raises:
        MissingExtraError: a HEIC photo, and pillow-heif is not installed.
        ImageTooLargeError: more pixels than ``limits`` allows.
        ImageTruncatedError: TIFF strips are missing.
        ImageUnsupportedError: a camera raw file with only a thumbnail as image, or an excessive
            structure.

    ``visavis.images.failures`` translates Pillow's exceptions.
    """
    _check(data, kind, limits, name)
    module, reader = _READERS[kind]
    if kind == "HEIF":
        require_extra("heif", f"{name}, a HEIC photo,")
    plugin = importlib.import_module(module)
    if kind == "AVIF" and not plugin.SUPPORTED:
        raise MissingExtraError(
            f"{name} is an AVIF photo, which this Pillow cannot read",
            "pip install --upgrade pillow",
        )
    if kind == "PNG":  # The decoder passes over the checksums of the pixels' chunks.
        plugin.PngImageFile(_Stream(data, kind, name), "").verify()
    stream = _Stream(data, kind, name)
    image = cast("ImageFile.ImageFile", getattr(plugin, reader)(stream, ""))
    limits.check_size(*image.size, name)
    if kind == "TIFF":
        tiff.check_image(image, name)
    elif image.tile and image.tile[0].codec_name == "bmp_rle":
        pixels = image.width * image.height
        if pixels > _MOST_RUN_LENGTH_CODED:
            refuse_excess(name, "run-length coded BMP", f"{pixels:,} pixels")
        stream.left += pixels
    return image


def load_pixels(image: ImageFile.ImageFile, kind: str, data: bytes) -> PillowImage.Image:
    """Decodes the pixels of an opened image; raises Pillow's exceptions."""
    if kind == "PPM" and is_deep(image):
        return load_deep(image, data)
    image.load()
    return image


def _check(data: bytes, kind: str, limits: Limits, name: str) -> None:
    """Checks before Pillow's reader starts."""
    if kind == "PNG":
        if data.count(b"iCCP") > _MOST_PROFILES:
            refuse_excess(name, "PNG", f"more than {_MOST_PROFILES} iCCP chunks")
    elif kind == "JPEG":
        jpeg.check_structure(data, name)
    elif kind == "PPM":
        check_comments(data, name)
    elif kind == "JPEG2000":
        check_codestreams(data, limits, name)
    elif kind == "TIFF":
        tiff.check_directories(data, 0, name)
    elif kind == "AVIF":  # Pillow reads its EXIF data at once.
        for found in _TIFF_HEADER.finditer(data):
            tiff.check_directories(data, found.start(), name, kind)


_PLAIN: Final = (b"P1", b"P2", b"P3")
_MOST_COMMENTS: Final = 1024


def check_comments(data: bytes, name: str) -> None:
    """Refuses a plain (text) file with very many comments: Pillow copies the rest for each.

    Raises:
        ImageUnsupportedError: more than 1,024 comments.
    """
    if data.startswith(_PLAIN) and data.count(b"#") > _MOST_COMMENTS:
        refuse_excess(name, "PPM", f"more than {_MOST_COMMENTS:,} comments")


def is_deep(image: ImageFile.ImageFile) -> bool:
    """Whether an opened PNM is binary with a maxval that Pillow reads slowly."""
    return bool(image.tile) and image.tile[0].codec_name == "ppm"


def load_deep(image: ImageFile.ImageFile, data: bytes) -> PillowImage.Image:
    """Decodes such a PNM; samples 0..maxval become 0..255.

    Args:
        image: opened from ``data``, not decoded.
        data: the whole file.

    Raises:
        EOFError: fewer samples than in the header.
    """
    tile = image.tile[0]
    maxval = tile.args[1] if isinstance(tile.args, tuple) else 255
    bands = len(image.getbands())
    width, height = image.size
    count = width * height * bands
    dtype: np.dtype[np.integer[Any]] = np.dtype("u1" if maxval < 256 else ">u2")
    if len(data) < tile.offset + count * dtype.itemsize:
        raise EOFError("image file is truncated")
    samples = np.frombuffer(data, dtype, count, tile.offset)
    shape = (height, width) if bands == 1 else (height, width, bands)
    return PillowImage.fromarray(scale(samples, maxval).reshape(shape))
