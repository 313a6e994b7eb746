"""Color modes, depths, transparency and profiles; expectations by plain arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image as PillowImage
from tests.images import profiles
from tests.images.corpus import Recipe
from tests.images.encoders import (
    encode,
    gray_of,
    noise,
    photo,
    png,
    png_rows,
    three,
    tiff,
    ycck,
)

_DEEP = np.array([[0, 1, 128, 129, 1000], [32767, 32768, 40000, 65534, 65535]], np.uint16)
_DEEP_AS_8 = np.array([[0, 0, 0, 1, 4], [127, 128, 156, 255, 255]])
_INKS = np.array(
    [[[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 0, 255], [255, 255, 255, 255]]], np.uint8
)


def recipes() -> list[Recipe]:
    table: list[tuple[str, Callable[[], bytes], np.ndarray, int]] = [
        *_gray(),
        *_deep(),
        *_transparent(),
        *_inks(),
        *_profiled(),
    ]
    return [
        Recipe(name, lambda _, make=make: make(), pixels=pixels, tolerance=off, file=f"{name}.img")
        for name, make, pixels, off in table
    ]


def _gray() -> list[tuple[str, Callable[[], bytes], np.ndarray, int]]:
    gray = gray_of(photo())
    bits = gray > 127
    packed = b"".join(b"\0" + np.packbits(row).tobytes() for row in bits)
    middle = np.full((48, 64), 128, np.uint8)
    return [
        ("gray-jpeg", lambda: encode(gray, "JPEG", quality=95), three(gray), 4),
        # What libjpeg fills missing parts with; here nothing is missing.
        ("mid-gray-jpeg", lambda: encode(middle, "JPEG"), three(middle), 0),
        (
            "mid-gray-jpeg-with-intervals",
            lambda: encode(middle, "JPEG", restart_marker_blocks=1),
            three(middle),
            0,
        ),
        ("gray-png", lambda: encode(gray, "PNG"), three(gray), 0),
        ("one-bit-png", lambda: png((64, 48), 1, 0, packed), three(bits * 255), 0),
        (
            "one-bit-tiff",
            lambda: encode(PillowImage.fromarray(bits), "TIFF", compression="group4"),
            three(bits * 255),
            0,
        ),
        (
            "two-bit-png",
            lambda: png((4, 1), 2, 0, b"\0\x1b"),
            three(np.array([[0, 85, 170, 255]])),
            0,
        ),
        (
            "one-bit-pbm",
            lambda: b"P4 64 48\n" + np.packbits(~bits, axis=1).tobytes(),
            three(bits * 255),
            0,
        ),
    ]


def _deep() -> list[tuple[str, Callable[[], bytes], np.ndarray, int]]:
    twelve = np.array([[0, 8, 9, 2047, 4000, 4095]], np.uint16)
    twelve_as_8 = (twelve / 4095 * 255).round()
    rgb = np.stack([_DEEP, _DEEP[::-1], _DEEP[:, ::-1]], -1)
    return [
        ("gray16-png", lambda: png((5, 2), 16, 0, png_rows(_DEEP)), three(_DEEP_AS_8), 0),
        ("gray16-tiff", lambda: tiff(_DEEP), three(_DEEP_AS_8), 0),
        ("gray16-tiff-big-endian", lambda: tiff(_DEEP, big_endian=True), three(_DEEP_AS_8), 0),
        (
            "gray16-tiff-white-is-zero",
            lambda: tiff(_DEEP, photometric=0),
            three(255 - _DEEP_AS_8),
            0,
        ),
        ("pgm-65535", lambda: _pgm(_DEEP, 65535), three(_DEEP_AS_8), 0),
        ("pgm-4095", lambda: _pgm(twelve, 4095), three(twelve_as_8), 0),
        ("pgm-100", lambda: b"P5 3 1 100\n\x00\x32\x64", three(np.array([[0, 128, 255]])), 0),
        (
            "pgm-plain-4095",
            lambda: b"P2 # comment\n6 1 4095\n0 8 9 2047 4000 4095\n",
            three(twelve_as_8),
            1,
        ),
        (
            "ppm-1023",
            lambda: b"P6 1 1 1023\n" + np.array([1023, 512, 0], ">u2").tobytes(),
            np.array([[[255, 128, 0]]]),
            0,
        ),
        # Pillow keeps the high byte of color samples, so one level may be lost.
        ("rgb16-png", lambda: png((5, 2), 16, 2, png_rows(rgb.reshape(2, 15))), rgb / 257, 1),
    ]


def _transparent() -> list[tuple[str, Callable[[], bytes], np.ndarray, int]]:
    rgba = np.dstack([photo(), np.arange(48 * 64).reshape(48, 64) % 256]).astype(np.uint8)
    la = np.ascontiguousarray(rgba[..., [0, 3]])
    table = b"\xff\0\0\0\xff\0\0\0\xff"
    indices = PillowImage.new("P", (3, 1))
    indices.putpalette(table)
    indices.putdata([0, 1, 2])
    key = np.array([[0, 10, 10, 255]], np.uint8)
    return [
        ("rgba-png", lambda: encode(rgba, "PNG"), _on_white(rgba), 1),
        ("rgba-webp", lambda: encode(rgba, "WEBP", lossless=True, exact=True), _on_white(rgba), 1),
        ("rgba-tiff", lambda: encode(rgba, "TIFF"), _on_white(rgba), 1),
        (
            "opaque-rgba-png",
            lambda: encode(np.dstack([photo(), np.full((48, 64), 255, np.uint8)]), "PNG"),
            photo(),
            0,
        ),
        (
            "la-png",
            lambda: encode(PillowImage.fromarray(la, mode="LA"), "PNG"),
            _on_white(la[..., [0, 0, 0, 1]]),
            1,
        ),
        (
            "palette-png",
            lambda: encode(indices, "PNG"),
            np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]),
            0,
        ),
        (
            "palette-png-transparent-entry",
            lambda: encode(indices, "PNG", transparency=1),
            np.array([[[255, 0, 0], [255, 255, 255], [0, 0, 255]]]),
            0,
        ),
        (
            "palette-png-alphas",
            lambda: encode(indices, "PNG", transparency=b"\x00\x80\xff"),
            np.array([[[255, 255, 255], [127, 255, 127], [0, 0, 255]]]),
            1,
        ),
        (
            "gray-png-colour-key",
            lambda: png((4, 1), 8, 0, png_rows(key), (b"tRNS", b"\0\x0a")),
            three(np.array([[0, 255, 255, 255]])),
            0,
        ),
        (
            "gray16-png-colour-key",
            lambda: png((5, 2), 16, 0, png_rows(_DEEP), (b"tRNS", b"\x03\xe8")),
            three(np.where(_DEEP == 1000, 255, _DEEP_AS_8)),
            0,
        ),
        (
            "gif-transparent",
            lambda: encode(indices, "GIF", transparency=0),
            np.array([[[255, 255, 255], [0, 255, 0], [0, 0, 255]]]),
            0,
        ),
    ]


def _inks() -> list[tuple[str, Callable[[], bytes], np.ndarray, int]]:
    smooth = np.dstack([photo(), photo()[..., 2] // 2]).astype(np.uint8)
    image = PillowImage.fromarray(smooth, mode="CMYK")
    plain = (255 - smooth[..., :3].astype(float)) * (255 - smooth[..., 3:]) / 255
    inks = PillowImage.fromarray(_INKS, mode="CMYK")
    lab = np.array([[[100, 0, 0], [50, 20, -30], [60, 40, 10], [0, 0, 0], [0, 0, 0]]], float)
    stored = lab[:, :4] * [2.55, 1, 1]
    lab_image = PillowImage.fromarray(stored.round().astype(np.int16).astype(np.uint8), mode="LAB")
    return [
        ("cmyk-jpeg-adobe", lambda: encode(image, "JPEG", quality=100), plain.round(), 4),
        ("ycck-jpeg-adobe", lambda: ycck(smooth), plain.round(), 6),
        ("cmyk-tiff", lambda: encode(image, "TIFF"), plain.round(), 1),
        (
            "cmyk-tiff-with-profile",
            lambda: encode(inks, "TIFF", icc_profile=profiles.cmyk_profile()),
            profiles.srgb_of_lab(lab),
            1,
        ),
        (
            "cmyk-tiff-with-rgb-profile",
            lambda: encode(inks, "TIFF", icc_profile=profiles.rgb_profile(profiles.PROPHOTO, 1.8)),
            np.array([[[255] * 3, [0, 255, 255], [255, 0, 255], [0] * 3, [0] * 3]]),
            0,
        ),
        ("lab-tiff", lambda: encode(lab_image, "TIFF"), profiles.srgb_of_lab(lab[:, :4]), 2),
    ]


def _profiled() -> list[tuple[str, Callable[[], bytes], np.ndarray, int]]:
    pixels = noise()
    prophoto = profiles.rgb_profile(profiles.PROPHOTO, 1.8)
    gray = gray_of(photo())
    return [
        (
            "prophoto-png",
            lambda: encode(pixels, "PNG", icc_profile=prophoto),
            profiles.srgb_of_prophoto(pixels),
            2,
        ),
        (
            "display-p3-png-as-stored",
            lambda: encode(pixels, "PNG", icc_profile=profiles.rgb_profile(profiles.DISPLAY_P3)),
            pixels,
            0,
        ),
        (
            "srgb-profile-png",
            lambda: encode(pixels, "PNG", icc_profile=profiles.rgb_profile(profiles.SRGB)),
            pixels,
            0,
        ),
        (
            "linear-gray-png",
            lambda: encode(gray, "PNG", icc_profile=profiles.gray_profile(1.0)),
            profiles.srgb_of_gray(gray, 1.0),
            2,
        ),
        # Of 250 stages, each of which takes time for each of 36,000 colors.
        (
            "elements-profile-png",
            lambda: encode(pixels, "PNG", icc_profile=profiles.elements_profile(250)),
            pixels,
            0,
        ),
        (
            "broken-profile-png",
            lambda: encode(pixels, "PNG", icc_profile=prophoto[:300]),
            pixels,
            0,
        ),
    ]


def _pgm(samples: np.ndarray, maxval: int) -> bytes:
    height, width = samples.shape
    return b"P5 %d %d %d\n" % (width, height, maxval) + samples.astype(">u2").tobytes()


def _on_white(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[..., 3:] / 255
    return (rgba[..., :3] * alpha + 255 * (1 - alpha)).round()
