"""Orientation, several images in one file, sizes, and what formats do besides pixels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image as PillowImage
from tests.images.corpus import Recipe
from tests.images.encoders import encode, exif, filled, noise, photo, png_chunk, tiff
from tests.images.orientation import as_stored

_PHOTO = photo()
_OTHER = 255 - _PHOTO


def recipes() -> list[Recipe]:
    table: list[tuple[str, Callable[[], bytes], np.ndarray, int]] = [
        *_turned(),
        *_several(),
        *_shapes(),
        *_besides(),
    ]
    return [
        Recipe(name, lambda _, make=make: make(), pixels=pixels, tolerance=off, file=f"{name}.img")
        for name, make, pixels, off in table
    ]


def _turned() -> list[tuple[str, Callable[[], bytes], np.ndarray, int]]:
    made: list[tuple[str, Callable[[], bytes], np.ndarray, int]] = []
    for value in range(1, 9):
        stored = as_stored(_PHOTO, value)
        made.append(
            (
                f"jpeg-orientation-{value}",
                lambda stored=stored, value=value: encode(
                    stored, "JPEG", quality=95, exif=exif(value)
                ),
                _PHOTO,
                8,
            )
        )
    stored = as_stored(_PHOTO, 6)
    made += [
        ("png-orientation", lambda: encode(stored, "PNG", exif=exif(6)), _PHOTO, 0),
        ("png-orientation-after-data", lambda: _png_late_exif(stored), _PHOTO, 0),
        (
            "webp-orientation",
            lambda: encode(stored, "WEBP", lossless=True, exif=exif(6)),
            _PHOTO,
            0,
        ),
        ("tiff-orientation", lambda: encode(stored, "TIFF", tiffinfo={274: 6}), _PHOTO, 0),
        (
            "tiff-orientation-compressed",
            lambda: encode(stored, "TIFF", tiffinfo={274: 6}, compression="tiff_lzw"),
            _PHOTO,
            0,
        ),
        ("avif-orientation", lambda: encode(stored, "AVIF", quality=95, exif=exif(6)), _PHOTO, 12),
        ("orientation-9-ignored", lambda: encode(stored, "PNG", exif=exif(9)), stored, 0),
        ("orientation-0-ignored", lambda: encode(stored, "PNG", exif=exif(0)), stored, 0),
        (
            "damaged-exif-ignored",
            lambda: encode(stored, "JPEG", quality=95, exif=b"Exif\0\0MM\0*\xff\xff\xff\xffxyz"),
            stored,
            8,
        ),
    ]
    return made


def _several() -> list[tuple[str, Callable[[], bytes], np.ndarray, int]]:
    flat = np.zeros((6, 8, 3), np.uint8) + np.array([0, 102, 204], np.uint8)

    def two(pixels: np.ndarray, kind: str, **options: object) -> bytes:
        second = PillowImage.fromarray(_OTHER)
        return encode(pixels, kind, save_all=True, append_images=[second], **options)

    return [
        ("gif-animated", lambda: two(flat, "GIF"), flat, 0),
        ("webp-animated", lambda: two(_PHOTO, "WEBP", lossless=True), _PHOTO, 0),
        ("apng", lambda: two(_PHOTO, "PNG"), _PHOTO, 0),
        ("tiff-of-pages", lambda: two(_PHOTO, "TIFF"), _PHOTO, 0),
        ("mpo", lambda: two(_PHOTO, "MPO", quality=95), _PHOTO, 8),
        ("avif-sequence", lambda: two(_PHOTO, "AVIF", quality=95), _PHOTO, 12),
    ]


def _shapes() -> list[tuple[str, Callable[[], bytes], np.ndarray, int]]:
    dot = np.array([[[7, 77, 177]]], np.uint8)
    line = noise(1, 60000)
    return [
        ("one-pixel-png", lambda: encode(dot, "PNG"), dot, 0),
        ("one-pixel-bmp", lambda: encode(dot, "BMP"), dot, 0),
        ("one-pixel-jpeg", lambda: encode(dot, "JPEG", quality=100, subsampling=0), dot, 3),
        ("wide-line-png", lambda: encode(line, "PNG"), line, 0),
        (
            "tall-line-png",
            lambda: encode(line.transpose(1, 0, 2), "PNG"),
            line.transpose(1, 0, 2),
            0,
        ),
    ]


def _besides() -> list[tuple[str, Callable[[], bytes], np.ndarray, int]]:
    video = b"\0\0\0\x18ftypmp42" + noise(seed=5).tobytes()
    tiled = tiff(np.ascontiguousarray(_PHOTO[..., 0]))
    return [
        (
            "jpeg-progressive",
            lambda: encode(_PHOTO, "JPEG", quality=95, progressive=True),
            _PHOTO,
            8,
        ),
        (
            "jpeg-with-intervals",
            lambda: encode(_PHOTO, "JPEG", quality=95, restart_marker_blocks=2),
            _PHOTO,
            8,
        ),
        *(
            (
                f"jpeg-with-{what}-after-its-end",
                lambda rest=rest: encode(_PHOTO, "JPEG", quality=95) + rest,
                _PHOTO,
                8,
            )
            for what, rest in (
                ("zeros", bytes(5000)),
                ("fill", b"\xff" * 200_000),
                ("a-photo", encode(_OTHER, "JPEG")),
            )
        ),
        ("jpeg-with-fill-before-its-markers", _filled, _PHOTO, 8),
        ("gray-jpeg-with-fill-before-its-markers", _filled_gray, np.full((64, 64, 3), 128), 0),
        ("jpeg-motion-photo", lambda: encode(_PHOTO, "JPEG", quality=95) + video, _PHOTO, 8),
        ("png-with-bytes-after-its-end", lambda: encode(_PHOTO, "PNG") + b"trailing", _PHOTO, 0),
        ("png-with-unknown-chunk", _png_unknown_chunk, _PHOTO, 0),
        ("bmp", lambda: encode(_PHOTO, "BMP"), _PHOTO, 0),
        ("ppm", lambda: encode(_PHOTO, "PPM"), _PHOTO, 0),
        ("tiff-gray-strip", lambda: tiled, np.repeat(_PHOTO[..., :1], 3, 2), 0),
        ("tiff-jpeg", lambda: encode(_PHOTO, "TIFF", compression="jpeg", quality=95), _PHOTO, 12),
        ("jpeg2000", lambda: encode(_PHOTO, "JPEG2000"), _PHOTO, 1),
        ("jpeg2000-codestream", lambda: encode(_PHOTO, "JPEG2000", no_jp2=True), _PHOTO, 1),
        ("avif", lambda: encode(_PHOTO, "AVIF", quality=95), _PHOTO, 12),
    ]


def _png_late_exif(stored: np.ndarray) -> bytes:
    plain = encode(stored, "PNG")
    return plain[:-12] + png_chunk(b"eXIf", exif(6)[6:]) + plain[-12:]


def _filled() -> bytes:
    return filled(encode(_PHOTO, "JPEG", quality=95))


def _filled_gray() -> bytes:
    gray = np.full((64, 64, 3), 128, np.uint8)
    return filled(encode(gray, "JPEG", restart_marker_blocks=1))


def _png_unknown_chunk() -> bytes:
    plain = encode(_PHOTO, "PNG")
    return plain[:33] + png_chunk(b"viSa", b"anything") + plain[33:]
