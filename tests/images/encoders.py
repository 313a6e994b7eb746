"""Image files of odd kinds, written byte by byte where Pillow has no way to."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image as PillowImage

HEIGHT, WIDTH = 48, 64


def photo(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A smooth RGB picture, different in every corner, so that lossy codecs keep it."""
    y, x = np.mgrid[0:height, 0:width]
    red = 40 + 170 * x / max(width - 1, 1)
    green = 30 + 190 * y / max(height - 1, 1)
    blue = 60 + 80 * (x / max(width - 1, 1)) * (1 - y / max(height - 1, 1))
    return np.stack([red, green, blue], -1).round().astype(np.uint8)


def noise(height: int = HEIGHT, width: int = WIDTH, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Random pixels, for files that must be long enough to be cut."""
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encode(pixels: np.ndarray | PillowImage.Image, kind: str, **options: Any) -> bytes:
    """Encode through Pillow."""
    image = PillowImage.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def heic(pixels: np.ndarray, **options: Any) -> bytes:
    """Encode as HEIC; needs pillow-heif."""
    import pillow_heif

    buffer = io.BytesIO()
    pillow_heif.from_pillow(PillowImage.fromarray(pixels)).save(
        buffer, **{"quality": 90, **options}
    )
    return buffer.getvalue()


def gray_of(pixels: np.ndarray) -> np.ndarray:
    """ITU-R 601 luma, as a JPEG keeps it."""
    return (pixels @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)


def three(gray: np.ndarray) -> np.ndarray:
    """Gray (H, W) to RGB (H, W, 3)."""
    return np.stack([gray] * 3, -1).astype(np.uint8)


def exif(orientation: int) -> bytes:
    """An EXIF block of one entry, big-endian, as TIFF says."""
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0" + b"MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def png(
    size: tuple[int, int], depth: int, colour: int, rows: bytes, *chunks: tuple[bytes, bytes]
) -> bytes:
    """A PNG with the given filtered rows; ``chunks`` go before the image data."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts)


def png_rows(samples: np.ndarray) -> bytes:
    """Rows of 8- or 16-bit samples, unfiltered, big-endian."""
    return b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in samples)


def tiff(
    samples: np.ndarray,
    *,
    big_endian: bool = False,
    photometric: int = 1,
    sample_format: int = 1,
    size: tuple[int, int] | None = None,
    extra: Sequence[tuple[int, int]] = (),
) -> bytes:
    """An uncompressed TIFF of one gray strip; ``extra`` are further (tag, short) entries."""
    order = ">" if big_endian else "<"
    body = samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    width, height = size or samples.shape[::-1]
    entries = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, samples.dtype.itemsize * 8),
        (259, 3, 1),
        (262, 3, photometric),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, height),
        (279, 4, len(body)),
        (339, 3, sample_format),
        *((tag, 3, value) for tag, value in extra),
    ]
    table = struct.pack(order + "H", len(entries))
    for tag, kind, value in sorted(entries):
        table += struct.pack(order + "HHI", tag, kind, 1)
        table += struct.pack(order + ("HH" if kind == 3 else "I"), *((value, 0)[: 5 - kind]))
    signature = (b"MM\0*" if big_endian else b"II*\0") + struct.pack(order + "I", 8 + len(body))
    return signature + body + table + bytes(4)


def ycck(cmyk: np.ndarray) -> bytes:
    """An Adobe JPEG whose CMY is stored as YCbCr."""
    cmy = PillowImage.fromarray(np.ascontiguousarray(cmyk[..., :3]))
    stored = np.dstack([np.asarray(cmy.convert("YCbCr")), 255 - cmyk[..., 3]])
    data = bytearray(encode(PillowImage.fromarray(255 - stored, mode="CMYK"), "JPEG", quality=100))
    data[data.index(b"Adobe") + 11] = 2
    return bytes(data)


def claim_jpeg_size(data: bytes, width: int, height: int) -> bytes:
    """Change what a baseline JPEG says of its size."""
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", height, width) + data[place + 4 :]


def jpeg_segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def after_start(data: bytes, stuff: bytes) -> bytes:
    """Put bytes behind the first two, which in a JPEG are its start marker."""
    return data[:2] + stuff + data[2:]


def filled(data: bytes) -> bytes:
    """A JPEG with fill bytes before each marker but the first, as the standard permits."""
    return data[:2] + re.sub(rb"(?=\xff[\xc0-\xfe])", b"\xff" * 9, data[2:])


def tiff_of(entries: Sequence[tuple[int, int, int, int]], body: bytes = b"") -> bytes:
    """A TIFF of ``body``, at byte 8, and one directory of (tag, type, count, value) entries."""
    table = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *e) for e in entries)
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + table + bytes(4)


def flip(data: bytes, place: int) -> bytes:
    """Flip the lowest bit of one byte."""
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
