"""Opens encoded bytes as a Pillow image, without decoding."""

from __future__ import annotations

import importlib
import io
import re
from typing import Any, Final, cast

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageFile

from visavis.errors import MissingExtraError, NotAnImageError, require_extra
from visavis.images.modes import scale
from visavis.images.reading import Limits, refuse_excess, with_article
from visavis.images.structure import check_codestreams, check_directories, check_jpeg, check_tiff

ACCEPTED: Final = "JPEG, PNG, WebP, GIF, TIFF, BMP, PNM, JPEG 2000, AVIF or HEIC"

_SIGNATURES: Final = (
    (rb"\xff\xd8\xff", "JPEG"),
    (rb"\x89PNG\r\n\x1a\n", "PNG"),
    (rb"RIFF.{4}WEBP", "WEBP"),
    (rb"GIF8[79]a", "GIF"),
    (rb"II\*\x00\x10\x00\x00\x00CR", "camera raw file"),
    (rb"II(?:\*\x00|\+\x00\x08)|MM(?:\x00\*|\x00\+\x00\x08)", "TIFF"),
    (rb"BM.{4}\x00\x00\x00\x00", "BMP"),
    (rb"P[1-6][\s#]", "PPM"),
    (rb"\x00\x00\x00\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51\x00", "JPEG2000"),
    # From here on other file types, to be named in the message.
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", "JPEG XL image"),
    (rb"%PDF", "PDF document"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript document"),
    (rb"8BPS", "Photoshop document"),
    (rb"\x00\x00\x01\x00", "icon"),
    (rb"v/1\x01", "OpenEXR image"),
    (rb"FUJIFILMCCD-RAW|IIRO|IIRS|IIU\x00", "camera raw file"),
    (rb"\xef?\xbb?\xbf?\s*<(?:\?xml|svg)", "drawing or other XML (SVG)"),
    (rb"(?i)\s*<(?:!doctype|html|head|body|!--)", "web page"),
    (rb"version https://git-lfs", "Git LFS pointer"),
    (rb"data:image/|/9j/|iVBORw0K", "base64 text"),
    (rb"PK\x03\x04|\x1f\x8b|Rar!|7z\xbc\xaf", "archive"),
    (rb"\x93NUMPY", "NumPy file"),
    (rb"RIFF.{4}AVI |\x1aE\xdf\xa3|\x00\x00\x01[\xb3\xba]", "video"),
)
_COMPILED: Final = tuple((re.compile(pattern, re.DOTALL), name) for pattern, name in _SIGNATURES)
_READ: Final = frozenset(
    ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "JPEG2000", "AVIF", "HEIF")
)
_REMEDY: Final = {
    "Git LFS pointer": "fetch the file itself with 'git lfs pull'",
    "base64 text": "decode it with base64.b64decode first",
    "web page": "the download gave a page in place of the photo: fetch the photo itself",
    "archive": "unpack it first",
    "video": "export a frame as JPEG or PNG",
    "NumPy file": "load it with numpy.load and pass the uint8 array",
    "camera raw file": "develop it to JPEG or TIFF first",
}
_HEIF_BRANDS: Final = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
)


def sniff(data: bytes, name: str) -> str:
    """Returns the format of an encoded photo by Pillow's name.

    Only these formats are passed to a decoder: Pillow supports about thirty more, and its EPS
    reader runs Ghostscript.

    Raises:
        NotAnImageError: something else; the message names the type if recognized.

    >>> sniff(b"GIF89a...", "cat.gif")
    'GIF'
    """
    found = _box_format(data)
    if found is None:
        head = data[:64]
        found = next((kind for pattern, kind in _COMPILED if pattern.match(head)), None)
    if found in _READ:
        return found
    if found is None:
        remedy = f"pass a photo as {ACCEPTED}"
        if len(data) < 1024 and not data.startswith(b"\x00") and b"\n" not in data:
            remedy += " (if these bytes are a path, pass it as str)"
        raise NotAnImageError(f"{name} is not an image ({_first_bytes(data)})", remedy)
    raise NotAnImageError(
        f"{name} is not a photo but {with_article(found)}",
        _REMEDY.get(found, f"save it as {ACCEPTED}"),
    )


def _box_format(data: bytes) -> str | None:
    """Distinguishes HEIF, AVIF and video by the brands in a leading ``ftyp`` box."""
    if data[4:8] != b"ftyp":
        return None
    box = data[8 : min(max(int.from_bytes(data[:4], "big"), 16), 512)]
    brands = {box[i : i + 4] for i in range(0, len(box), 4) if i != 4}  # 4..8 is the version
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    if brands & _HEIF_BRANDS:
        return "HEIF"
    return "camera raw file" if b"crx " in brands else "video"


def _first_bytes(data: bytes) -> str:
    return f"it starts with {data[:8]!r}"


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
    "HEIF": ("pi_heif", "HeifImageFile"),
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
        MissingExtraError: a HEIC photo, and pi-heif is not installed.
        ImageTooLargeError: more pixels than ``limits`` allows.
        ImageTruncatedError: TIFF strips are missing.
        ImageUnsupportedError: a camera raw file with only a thumbnail as image, or an excessive
            structure.

    ``Translate`` translates Pillow's exceptions.
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
        check_tiff(image, name)
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
        check_jpeg(data, name)
    elif kind == "PPM":
        check_comments(data, name)
    elif kind == "JPEG2000":
        check_codestreams(data, limits, name)
    elif kind == "TIFF":
        check_directories(data, 0, name)
    elif kind == "AVIF":  # Pillow reads its EXIF data at once.
        for found in _TIFF_HEADER.finditer(data):
            check_directories(data, found.start(), name, kind)


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
