"""ICC profiles made by hand, after the ICC.1 specification; nothing binary is committed."""

from __future__ import annotations

import itertools
import struct

import numpy as np

D50 = (0.9642, 1.0, 0.8249)
# Colorants adapted to D50, as columns red, green, blue.
DISPLAY_P3 = (
    (0.51512, 0.29198, 0.15710),
    (0.24119, 0.69225, 0.06657),
    (-0.00105, 0.04189, 0.78407),
)
PROPHOTO = ((0.79767, 0.13519, 0.03135), (0.28804, 0.71188, 0.00009), (0.0, 0.0, 0.82491))
SRGB = ((0.43607, 0.38515, 0.14307), (0.22249, 0.71687, 0.06061), (0.01392, 0.09708, 0.71410))


def rgb_profile(
    colorants: tuple[tuple[float, float, float], ...], gamma: float | None = None
) -> bytes:
    """A matrix profile with a tone curve of that gamma, or sRGB's."""
    curve = _gamma(gamma or 1.0)
    if gamma is None:
        curve = b"para" + bytes(4) + struct.pack(">HH", 3, 0)
        curve += b"".join(map(_fixed, (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)))
    tags = {name + b"TRC": curve for name in (b"r", b"g", b"b")}
    for column, name in enumerate((b"r", b"g", b"b")):
        tags[name + b"XYZ"] = _xyz(tuple(row[column] for row in colorants))
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def gray_profile(gamma: float) -> bytes:
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _gamma(gamma)})


def elements_profile(count: int) -> bytes:
    """RGB by ``count`` stages that all are the same segmented curve, and one matrix."""
    segment = b"parf" + bytes(4) + struct.pack(">HH4f", 0, 0, 1, 1, 0, 0)
    curve = b"curf" + bytes(4) + struct.pack(">HHf", 2, 0, 0.5) + segment * 2
    curves = b"cvst" + bytes(4) + struct.pack(">HH", 3, 3) + struct.pack(">II", 36, len(curve)) * 3
    curves += curve
    matrix = b"matf" + bytes(4) + struct.pack(">HH12f", 3, 3, *[1 / 3] * 9, 0, 0, 0)
    start = 16 + 8 * (count + 1)
    places = struct.pack(">II", start, len(curves)) * count
    places += struct.pack(">II", start + len(curves), len(matrix))
    head = b"mpet" + bytes(4) + struct.pack(">HHI", 3, 3, count + 1)
    tags = {b"D2B0": head + places + curves + matrix, b"D2B1": head + places + curves + matrix}
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def cmyk_profile() -> bytes:
    """A press whose only ink on its own is cyan = Lab (50, 20, -30) and magenta = Lab (60, 40, 10).

    Paper is white; any mixture of inks is black.
    """
    clut = bytearray()
    for inks in itertools.product((0, 1), repeat=4):  # the first ink varies slowest
        lab = {
            (0, 0, 0, 0): (100, 0, 0),
            (1, 0, 0, 0): (50, 20, -30),
            (0, 1, 0, 0): (60, 40, 10),
        }.get(inks, (0, 0, 0))
        clut += bytes((round(lab[0] * 255 / 100), lab[1] + 128, lab[2] + 128))
    identity = b"".join(_fixed(float(i % 4 == 0)) for i in range(9))
    ramp = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + identity + ramp * 4 + bytes(clut) + ramp * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table})


def srgb_of_prophoto(pixels: np.ndarray) -> np.ndarray:
    """ProPhoto RGB, gamma 1.8, to sRGB by plain color arithmetic, clipped."""
    return srgb_of_xyz((pixels / 255) ** 1.8 @ np.array(PROPHOTO).T)


def srgb_of_lab(lab: np.ndarray) -> np.ndarray:
    """CIE L*a*b* under D50, (..., 3), to sRGB, clipped."""
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], -1)
    return srgb_of_xyz(np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * D50)


def srgb_of_gray(pixels: np.ndarray, gamma: float) -> np.ndarray:
    return srgb_of_xyz(((pixels / 255) ** gamma)[..., None] * D50)


def srgb_of_xyz(xyz: np.ndarray) -> np.ndarray:
    """XYZ adapted to D50, (..., 3), to sRGB uint8."""
    light = (xyz @ np.linalg.inv(np.array(SRGB)).T).clip(0, 1)
    coded = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return (coded * 255).round().astype(np.uint8)


def _profile(kind: bytes, space: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    text = "test".encode("utf-16-be")
    words = b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text
    tags = {b"desc": words, b"cprt": words, b"wtpt": _xyz(D50), **tags}
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12s4s4sIIIQI12s4s44s",
        start + len(body),
        b"",
        0x04300000,
        kind,
        space,
        pcs,
        bytes(12),
        b"acsp",
        b"",
        0,
        0,
        0,
        0,
        1,
        b"".join(map(_fixed, D50)),
        b"",
        b"",
    )
    return header + table + body


def _gamma(gamma: float) -> bytes:
    return b"para" + bytes(4) + struct.pack(">HH", 0, 0) + _fixed(gamma)


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(map(_fixed, values))
