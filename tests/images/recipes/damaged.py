"""Photos that are cut off or damaged."""

from __future__ import annotations

import struct
from collections.abc import Callable

from tests.images.corpus import Recipe
from tests.images.encoders import encode, flip, noise, png, png_chunk, tiff

from visavis.errors import ImageTruncatedError


def recipes() -> list[Recipe]:
    table: list[tuple[str, Callable[[], bytes], tuple[str, ...]]] = [
        ("jpeg-cut", lambda: _half(_jpeg()), ("a JPEG that ends early",)),
        ("jpeg-without-its-end-marker", lambda: _jpeg()[:-2], ("a JPEG that ends early",)),
        ("jpeg-cut-in-its-header", lambda: _jpeg()[:100], ("a JPEG that ends early",)),
        ("jpeg-signature-only", lambda: b"\xff\xd8\xff\xe0", ("a JPEG that",)),
        ("jpeg-progressive-cut", lambda: _half(_jpeg(progressive=True)), ("ends early",)),
        ("jpeg-zeroed-tables", _without_tables, ("a JPEG that is damaged",)),
        ("png-cut", lambda: _half(_png()), ("a PNG that ends early",)),
        ("png-without-its-end-chunk", lambda: _png()[:-12], ("a PNG that ends early",)),
        ("png-signature-only", lambda: _png()[:8], ("a PNG that",)),
        ("png-flipped-bit-in-data", lambda: flip(_png(), 2000), ("a PNG that is damaged",)),
        ("png-flipped-bit-near-the-end", lambda: flip(_png(), len(_png()) - 30), ("a PNG that",)),
        ("png-flipped-bit-in-header", lambda: flip(_png(), 18), ("a PNG that is damaged",)),
        ("png-without-width", lambda: png((0, 4), 8, 0, b""), ("a PNG that is damaged",)),
        ("tiff-strip-missing", _strip_missing, ("a TIFF that lacks strips",)),
        ("png-header-only", _png_header_only, ("a PNG that",)),
        ("gif-cut", lambda: _half(encode(noise(), "GIF")), ("a GIF that ends early",)),
        ("gif-without-frames", lambda: encode(noise(), "GIF")[:781] + b";", ("a GIF that",)),
        ("webp-cut", lambda: _half(encode(noise(), "WEBP")), ("a WEBP that",)),
        ("webp-lossless-cut", lambda: _half(encode(noise(), "WEBP", lossless=True)), ("a WEBP",)),
        ("webp-without-content", lambda: b"RIFF\x04\0\0\0WEBP", ("a WEBP that",)),
        ("tiff-cut", _tiff_cut, ("a TIFF that ends early",)),
        ("tiff-header-only", lambda: b"II*\0\x08\0\0\0", ("a TIFF that",)),
        ("tiff-directory-outside", lambda: b"II*\0\xff\xff\xff\x7f" + bytes(99), ("a TIFF that",)),
        ("tiff-deflate-damaged", _tiff_deflate_damaged, ("a TIFF that is damaged",)),
        ("bmp-cut", lambda: _half(encode(noise(), "BMP")), ("a BMP that ends early",)),
        ("ppm-cut", lambda: _half(encode(noise(), "PPM")), ("a PPM that ends early",)),
        ("pgm-deep-cut", lambda: b"P5 9 9 4095\n" + bytes(161), ("a PPM that ends early",)),
        ("pgm-plain-cut", lambda: b"P2 3 3 255\n1 2 3 4", ("a PPM that",)),
        ("jpeg2000-cut", lambda: _half(encode(noise(), "JPEG2000")), ("a JPEG2000 that",)),
        ("avif-cut", lambda: _half(encode(noise(), "AVIF")), ("an AVIF that",)),
    ]
    return [
        Recipe(name, lambda _, make=make: make(), ImageTruncatedError, words, file=f"{name}.img")
        for name, make, words in table
    ]


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _jpeg(**options: object) -> bytes:
    return encode(noise(), "JPEG", quality=90, **options)


def _png() -> bytes:
    return encode(noise(), "PNG")


def _without_tables() -> bytes:
    data = _jpeg()
    start = data.index(b"\xff\xc4")
    return data[: start + 5] + b"\xff" * 16 + data[start + 21 :]


def _png_header_only() -> bytes:
    header = struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0)
    return _png()[:8] + png_chunk(b"IHDR", header) + png_chunk(b"IEND", b"")


def _tiff_cut() -> bytes:
    whole = tiff(noise(channels=1))
    start = 8 + noise(channels=1).size
    # The directory first, then half of the pixels.
    table = bytearray(whole[start:])
    place = table.index(struct.pack("<HHI", 273, 4, 1)) + 8
    table[place : place + 4] = struct.pack("<I", 8 + len(table))
    return b"II*\0" + struct.pack("<I", 8) + bytes(table) + whole[8 : 8 + start // 2]


def _tiff_deflate_damaged() -> bytes:
    data = encode(noise(), "TIFF", compression="tiff_adobe_deflate")
    return flip(data, len(data) // 2)


def _strip_missing() -> bytes:
    data = bytearray(encode(noise(64, 64), "TIFF", tiffinfo={278: 16}))
    place = data.index(struct.pack("<HHI", 273, 4, 4)) + 4
    data[place : place + 4] = struct.pack("<I", 3)
    return bytes(data)
