"""Damaging files at random: strategies for hypothesis."""

from __future__ import annotations

from functools import cache

import numpy as np
from hypothesis import strategies as st
from PIL import Image as PillowImage
from tests.images import profiles
from tests.images.encoders import encode, exif, heic, noise, png, png_chunk, png_rows, tiff, ycck

_RGB, _GRAY, _RGBA = noise(24, 17), noise(24, 17, 1), noise(24, 17, 4)
_DEEP = noise(24, 34, 1).view(np.uint16)
_PROFILE = profiles.rgb_profile(profiles.PROPHOTO, 1.8)
FAMILIES = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "rest")


@cache
def seeds(family: str) -> tuple[bytes, ...]:
    """Small whole files of a family, of many kinds."""
    return _SEEDS[family]()


def _jpeg() -> tuple[bytes, ...]:
    return (
        encode(_RGB, "JPEG", exif=exif(6), icc_profile=_PROFILE),
        encode(_RGB, "JPEG", progressive=True),
        encode(_GRAY, "JPEG", restart_marker_blocks=1),
        encode(_cmyk(), "JPEG", icc_profile=profiles.cmyk_profile()),
        ycck(_RGBA),
        _two("MPO"),
    )


def _png() -> tuple[bytes, ...]:
    return (
        encode(_RGB, "PNG", exif=exif(5), icc_profile=_PROFILE),
        encode(_RGBA, "PNG"),
        encode(_palette(), "PNG", transparency=3),
        png((17, 24), 16, 0, png_rows(_DEEP)),
        _two("PNG"),
    )


def _webp() -> tuple[bytes, ...]:
    return (
        encode(_RGB, "WEBP", exif=exif(3), icc_profile=_PROFILE),
        encode(_RGBA, "WEBP", lossless=True),
        _two("WEBP"),
    )


def _gif() -> tuple[bytes, ...]:
    return (
        encode(_RGB, "GIF"),
        encode(_palette(), "GIF", transparency=3),
        _two("GIF", disposal=2),
    )


def _tiff() -> tuple[bytes, ...]:
    packed = ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
    return (
        encode(_RGB, "TIFF", tiffinfo={274: 7}, icc_profile=_PROFILE),
        *(encode(_RGB, "TIFF", compression=name) for name in packed),
        encode(PillowImage.fromarray(_GRAY > 99), "TIFF", compression="group4"),
        encode(_cmyk(), "TIFF", icc_profile=profiles.cmyk_profile()),
        tiff(_GRAY, big_endian=True),
        tiff(_DEEP),
        _two("TIFF"),
    )


def _heif() -> tuple[bytes, ...]:
    return heic(_RGB), heic(_RGBA), heic(_RGB, exif=exif(6))


def _rest() -> tuple[bytes, ...]:
    return (
        encode(_RGB, "BMP"),
        encode(_palette(), "BMP"),
        encode(_RGB, "PPM"),
        b"P5 4 4 999 " + noise(4, 8, 1).tobytes(),
        b"P3 2 2 255 1 2 3 4 5 6 7 8 9 10 11 12 ",
        b"P1 3 3 1 0 1 0 1 0 1 0 1",
        encode(_RGB, "JPEG2000"),
        encode(_RGB, "AVIF", exif=exif(8)),
    )


_SEEDS = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "GIF": _gif,
    "TIFF": _tiff,
    "rest": _rest,
    "HEIF": _heif,
}


def _cmyk() -> PillowImage.Image:
    return PillowImage.fromarray(_RGBA, mode="CMYK")


def _palette() -> PillowImage.Image:
    return PillowImage.fromarray(_RGB).quantize(16)


def _two(kind: str, **options: object) -> bytes:
    second = PillowImage.fromarray(noise(24, 17, seed=1))
    return encode(_RGB, kind, save_all=True, append_images=[second], **options)


@st.composite
def damaged(draw: st.DrawFn, family: str) -> bytes:
    """A file of ``family``, cut, with bits flipped, spliced with another, or several of these.

    Mostly behind the signature; the checksums of most PNG files are put right again, so that the
    damage reaches the decoder.
    """
    data = bytearray(draw(st.sampled_from(seeds(family))))
    first = draw(st.sampled_from((12, 12, 12, 0)))
    for _ in range(draw(st.integers(1, 3))):
        if len(data) <= first:
            break
        place = draw(st.integers(first, len(data) - 1))
        length = draw(st.integers(1, 64))
        way = draw(st.sampled_from(("cut", "flip", "flip", "set", "splice", "drop", "repeat")))
        if way == "cut":
            del data[place:]
        elif way == "flip":
            for _ in range(draw(st.integers(1, 6))):
                data[draw(st.integers(first, len(data) - 1))] ^= 1 << draw(st.integers(0, 7))
        elif way == "set":
            value = draw(st.sampled_from((b"\0", b"\xff", b"\x7f", b"\x80", b"\1")))
            data[place : place + length % 8] = value * (length % 8)
        elif way == "splice":
            other = draw(st.sampled_from(seeds(draw(st.sampled_from((family, *FAMILIES))))))
            data[place:] = other[draw(st.integers(0, len(other) - 1)) :]
        elif way == "drop":
            del data[place : place + length]
        else:
            data[place:place] = data[place : place + length]
    if data.startswith(b"\x89PNG\r\n\x1a\n") and draw(st.integers(0, 3)):
        return _with_right_checksums(bytes(data))
    return bytes(data)


def _with_right_checksums(data: bytes) -> bytes:
    """A PNG whose chunks are as they are, as far as they go, and an end."""
    parts, start = [data[:8]], 8
    while start + 12 <= len(data):
        end = start + 8 + int.from_bytes(data[start : start + 4], "big")
        kind = data[start + 4 : start + 8]
        if end > len(data) or kind == b"IEND":
            break
        parts.append(png_chunk(kind, data[start + 8 : end]))
        start = end + 4
    return b"".join(parts) + png_chunk(b"IEND", b"")
