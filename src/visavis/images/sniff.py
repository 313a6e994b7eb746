"""Detects the format of encoded bytes."""

from __future__ import annotations

import re
from typing import Final

from visavis.errors import NotAnImageError
from visavis.images.describe import with_article

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
