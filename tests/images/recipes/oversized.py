"""Decompression bombs, and real images of kinds that are refused."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import numpy as np
from tests.images import crafted
from tests.images.corpus import Recipe
from tests.images.encoders import claim_jpeg_size, encode, noise, photo, png, png_rows, tiff

from visavis.errors import ImageTooLargeError, ImageUnsupportedError

_GRAY = np.arange(12, dtype=np.uint8).reshape(3, 4)


def recipes() -> list[Recipe]:
    return [
        *(
            Recipe(name, lambda _, make=make: make(), ImageTooLargeError, words, file=f"{name}.img")
            for name, make, words in _bombs()
        ),
        *(
            Recipe(
                name, lambda _, make=make: make(), ImageUnsupportedError, words, file=f"{name}.img"
            )
            for name, make, words in _refused()
        ),
    ]


def _bombs() -> list[tuple[str, Callable[[], bytes], tuple[str, ...]]]:
    pixels = ("pixels, more than 100,000,000", "max_pixels")
    return [
        ("png-bomb", lambda: png((60000, 60000), 8, 2, bytes(9)), ("60000 x 60000", *pixels)),
        ("jpeg-bomb", _jpeg_bomb, ("65000 x 64000 = 4,160,000,000", *pixels)),
        ("gif-bomb", _gif_bomb, ("65535 x 65535", *pixels)),
        ("webp-bomb", _webp_bomb, ("pixels", "scale the photo down")),
        ("tiff-bomb", lambda: tiff(_GRAY, size=(99999, 99999)), ("99999 x 99999", *pixels)),
        ("bmp-bomb", _bmp_bomb, ("50000 x 50000", *pixels)),
        ("ppm-bomb", lambda: b"P6 99999 99999 255\n", ("99999 x 99999", *pixels)),
        ("pgm-deep-bomb", lambda: b"P5 99999 99999 999\n", ("99999 x 99999", *pixels)),
        ("jpeg2000-bomb", _jpeg2000_bomb, ("99999 x 99999", *pixels)),
        ("just-over-the-limit", lambda: png((10001, 10000), 1, 0, b""), ("100,010,000", *pixels)),
        ("png-text-bomb", lambda: _png_with(b"zTXt", b"Comment\0\0"), ("takes too much memory",)),
        ("png-profile-bomb", lambda: _png_with(b"iCCP", b"ICC\0\0"), ("takes too much memory",)),
        ("png-text-bomb-at-the-end", _png_late_bomb, ("takes too much memory",)),
    ]


def _refused() -> list[tuple[str, Callable[[], bytes], tuple[str, ...]]]:
    return [
        (
            "float-tiff",
            lambda: tiff(_GRAY.astype(np.float32), sample_format=3),
            ("float pixels", "pass uint8"),
        ),
        (
            "int32-tiff",
            lambda: tiff(_GRAY.astype(np.int32), sample_format=2),
            ("32-bit integer pixels", "pass uint8"),
        ),
        (
            "camera-raw-thumbnail",
            lambda: tiff(_GRAY, extra=[(254, 1)]),
            ("camera raw file: its first image is a thumbnail",),
        ),
        ("jpeg-of-12-bits", _jpeg_of_12_bits, ("cannot handle 12-bit layers", "plain JPEG")),
        ("jpeg-scan-bomb", _scan_bomb, ("more than 100 scans",)),
        ("tiff-strip-bomb", _strip_bomb, ("70,000 strips",)),
        *(
            (f"{name}-bomb", lambda make=make, size=size: make(size), (words, "save it"))
            for name, make, size, words in crafted.REFUSED
        ),
    ]


def _jpeg_bomb() -> bytes:
    return claim_jpeg_size(encode(photo(), "JPEG"), 65000, 64000)


def _gif_bomb() -> bytes:
    data = encode(photo(), "GIF")
    return data[:6] + b"\xff\xff\xff\xff" + data[10:]


def _webp_bomb() -> bytes:
    # An extended WebP: its canvas is given apart from the frame on it.
    frame = encode(photo(), "WEBP", lossless=True)[12:]
    header = struct.pack("<II", 0x02, 0)[:4] + (16382).to_bytes(3, "little") * 2
    side = bytes(3)
    size = (63).to_bytes(3, "little") + (47).to_bytes(3, "little")
    anmf = side * 2 + size + bytes(3) + b"\0" + frame
    body = b"VP8X" + struct.pack("<I", 10) + header
    body += b"ANIM" + struct.pack("<I", 6) + bytes(6)
    body += b"ANMF" + struct.pack("<I", len(anmf)) + anmf
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _bmp_bomb() -> bytes:
    data = encode(photo(), "BMP")
    return data[:18] + struct.pack("<ii", 50000, 50000) + data[26:]


def _jpeg2000_bomb() -> bytes:
    data = encode(photo(), "JPEG2000", no_jp2=True)
    size = struct.pack(">II", 99999, 99999)
    return data[:8] + size + data[16:24] + size + data[32:]


def _png_with(kind: bytes, start: bytes) -> bytes:
    bomb = start + zlib.compress(bytes(8_000_000), 9)
    return png((64, 48), 8, 2, png_rows(photo().reshape(48, -1)), (kind, bomb))


def _png_late_bomb() -> bytes:
    whole = _png_with(b"zTXt", b"Comment\0\0")
    text, data = whole.index(b"zTXt") - 4, whole.index(b"IDAT") - 4
    return whole[:text] + whole[data:-12] + whole[text:data] + whole[-12:]


def _jpeg_of_12_bits() -> bytes:
    data = encode(photo(), "JPEG")
    place = data.index(b"\xff\xc0") + 4
    return data[:place] + b"\x0c" + data[place + 1 :]


def _scan_bomb() -> bytes:
    data = encode(noise(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * 600 + b"\xff\xd9"


def _strip_bomb() -> bytes:
    count = 70_000
    offsets = struct.pack("<I", 8) * count
    whole = tiff(np.zeros((1, 1), np.uint8), size=(1, count))
    table = bytearray(whole[9:])
    place = table.index(struct.pack("<HHI", 273, 4, 1))
    table[place + 4 : place + 12] = struct.pack("<II", count, 9)
    rows = table.index(struct.pack("<HHI", 278, 4, 1)) + 8
    table[rows : rows + 4] = struct.pack("<I", 1)
    return whole[:4] + struct.pack("<I", 9 + len(offsets)) + b"\0" + offsets + bytes(table)
