"""Encoded bytes to an opened, not yet decoded, Pillow image."""

from __future__ import annotations

import importlib
from typing import Final, cast

from PIL import Image as PillowImage
from PIL import ImageFile

from visavis.errors import ImageTruncatedError, ImageUnsupportedError, MissingExtraError
from visavis.images.jpeg import check_scans
from visavis.images.netpbm import is_deep, load_deep
from visavis.images.png import check_chunks
from visavis.images.strict import load_strictly, open_stream

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
# TIFF tags NewSubfileType and PlanarConfiguration, and the values looked for.
_SUBFILE, _REDUCED = 254, 1
_PLANES, _SEPARATE = 284, 2
_MOST_TILES: Final = 1 << 16


def open_image(data: bytes, kind: str, name: str) -> ImageFile.ImageFile:
    """Parse the header of an encoded photo of the format ``kind`` (see ``sniff``).

    Pillow's reader is called directly, not through ``PIL.Image.open``: that would judge by the
    process-wide ``PIL.Image.MAX_IMAGE_PIXELS`` and warn, where ``Limits`` decides here.

    Raises:
        MissingExtraError: a HEIC photo, and pillow-heif is not installed.
        ImageTruncatedError: PNG chunks are damaged, or TIFF strips are missing.
        ImageUnsupportedError: a camera raw file whose readable image is only a thumbnail.

    What Pillow raises is for ``visavis.images.failures`` to translate.
    """
    if kind == "PNG":
        check_chunks(data, name)
    elif kind == "JPEG":
        check_scans(data, name)
    module, reader = _READERS[kind]
    try:
        plugin = importlib.import_module(module)
    except ImportError as error:
        raise _missing(kind, name) from error
    if kind == "AVIF" and not plugin.SUPPORTED:
        raise _missing(kind, name)
    image = cast("ImageFile.ImageFile", getattr(plugin, reader)(open_stream(data), ""))
    if kind == "TIFF":
        _check_tiff(image, name)
    return image


def load_pixels(image: ImageFile.ImageFile, kind: str, data: bytes) -> PillowImage.Image:
    """Decode the pixels of what ``open_image`` opened; raises what Pillow raises."""
    if kind == "PPM" and is_deep(image):
        return load_deep(image, data)
    load_strictly(image)
    return image


def _check_tiff(image: ImageFile.ImageFile, name: str) -> None:
    tags = image.tag_v2  # type: ignore[attr-defined]
    subfile = tags.get(_SUBFILE, 0)
    if isinstance(subfile, int) and subfile & _REDUCED:
        raise ImageUnsupportedError(
            f"{name} is a camera raw file: its first image is a thumbnail",
            "develop it to JPEG or TIFF first",
        )
    if len(image.tile) > _MOST_TILES:
        raise ImageUnsupportedError(
            f"{name} is a TIFF in {len(image.tile):,} strips or tiles",
            f"save it with at most {_MOST_TILES:,}",
        )
    # Pillow leaves black what no strip covers.
    covered = sum(
        (x1 - x0) * (y1 - y0)
        for x0, y0, x1, y1 in (tile.extents or (0, 0, 0, 0) for tile in image.tile)
    )
    layers = len(image.getbands()) if tags.get(_PLANES) == _SEPARATE else 1
    if covered < image.width * image.height * layers:
        raise ImageTruncatedError(
            f"{name} is a TIFF that lacks strips", "copy or download the photo again"
        )


def _missing(kind: str, name: str) -> MissingExtraError:
    if kind == "HEIF":
        return MissingExtraError(
            f"{name} is a HEIC photo, which needs pillow-heif", "pip install 'visavis[heif]'"
        )
    return MissingExtraError(
        f"{name} is an {kind} photo, which this Pillow cannot read",
        "pip install --upgrade pillow (11.3 or later)",
    )
