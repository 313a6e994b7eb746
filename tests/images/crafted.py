"""Small files made to cost a reader time or memory; each grows with the ``size`` in bytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import numpy as np
from tests.images.encoders import (
    after_start,
    encode,
    exif,
    jpeg_segment,
    photo,
    png,
    png_chunk,
    tiff_of,
)

Make = Callable[[int], bytes]

_GRAY = np.full((48, 64), 128, np.uint8)
_DOT = png((1, 1), 8, 2, b"\0\1\2\3")
_PIXEL = [
    (256, 4, 1, 1), (257, 4, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
    (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, 1, 1),
]  # fmt: skip


def _in_scan(stuff: bytes) -> bytes:
    """A mid-gray JPEG, which is looked at twice, with bytes before its coded data."""
    data = encode(_GRAY, "JPEG")
    place = data.index(b"\xff\xda")
    place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return data[:place] + stuff + data[place:]


def _at_end(stuff: bytes) -> bytes:
    data = encode(_GRAY, "JPEG")
    return data[:-2] + stuff + data[-2:]


def jpeg_fill(size: int) -> bytes:
    return _in_scan(b"\xff" * size + b"\0")


def jpeg_fill_at_end(size: int) -> bytes:
    return _at_end(b"\xff" * size + b"\0")


def jpeg_fill_after_end(size: int) -> bytes:
    return encode(_GRAY, "JPEG") + b"\xff" * size + b"\0"


def jpeg_fill_in_header(size: int) -> bytes:
    return after_start(encode(photo(), "JPEG"), b"\xff" * size)


def jpeg_junk_in_header(size: int) -> bytes:
    data = encode(photo(), "JPEG")
    return data[:20] + bytes(size) + data[20:]


def jpeg_restarts(size: int) -> bytes:
    return _at_end(b"\xff\xd0" * (size // 2))


def jpeg_segments(size: int) -> bytes:
    return after_start(encode(photo(), "JPEG"), jpeg_segment(0xE5, b"") * (size // 4))


def jpeg_tables(size: int) -> bytes:
    tables = jpeg_segment(0xDB, (b"\0" + b"\1" * 64) * 1000)
    return after_start(encode(photo(), "JPEG"), tables * (size // len(tables)))


def jpeg_exif(size: int) -> bytes:
    part = jpeg_segment(0xE1, b"Exif\0\0" + bytes(60_000))
    return after_start(encode(photo(), "JPEG"), part * (size // len(part)))


def _png_with(chunk: bytes, size: int) -> bytes:
    return _DOT[:33] + chunk * (size // len(chunk)) + _DOT[33:]


def png_chunks(size: int) -> bytes:
    return _png_with(png_chunk(b"viSa", b""), size)


def png_empty_data(size: int) -> bytes:
    return _png_with(png_chunk(b"IDAT", b""), size)


def png_profiles(size: int) -> bytes:
    return _png_with(png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1_000_000), 9)), size)


def png_headers(size: int) -> bytes:
    return _png_with(_DOT[8:33], size)


def png_exif(size: int) -> bytes:
    return _png_with(png_chunk(b"eXIf", exif(1)[6:].ljust(size, b"\0")), size + 12)


def png_data(size: int) -> bytes:
    """One pixel, black, and behind it zeros that inflate a thousandfold."""
    deflate = zlib.compressobj(9)
    rows = [deflate.compress(bytes(1 << 20)) for _ in range(size // 1030)]
    data = b"".join((*rows, deflate.flush()))
    return _DOT[:33] + png_chunk(b"IDAT", data) + _DOT[-12:]


def pgm_comments(size: int) -> bytes:
    return b"P2 1 1 255\n" + b"#\n" * (size // 2) + b"7\n"


def pgm_comment_in_header(size: int) -> bytes:
    return b"P5 #" + b"x" * size + b"\n1 1 255\n7"


def gif_comments(size: int) -> bytes:
    data = encode(photo(), "GIF")
    place = data.index(b",\0\0\0\0")
    return data[:place] + b"!\xfe" + b"\1x" * (size // 2) + b"\0" + data[place:]


def gif_junk(size: int) -> bytes:
    data = encode(photo(), "GIF")
    place = data.index(b",\0\0\0\0")
    return data[:place] + bytes(size) + data[place:]


def _run_length_coded(side: int, body: bytes) -> bytes:
    head = struct.pack("<IIIHHIIIIII", 40, side, side, 1, 8, 1, 0, 0, 0, 256, 0)
    table = b"".join(bytes([i, i, i, 0]) for i in range(256))
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + len(head + table)) + head + table + body


def bmp_lines(size: int) -> bytes:
    """As many line ends as fit; one pixel."""
    return _run_length_coded(1, b"\0\0" * (size // 2))


def bmp_large(size: int) -> bytes:
    """Lines of one pixel and an end, which the reader fills up."""
    return _run_length_coded(9000, b"\1\0\0\0" * (size // 4))


def tiff_entries(size: int) -> bytes:
    return tiff_of([*_PIXEL, *((1000 + i, 3, 1, 1) for i in range(size // 12))], b"x")


def tiff_values(size: int) -> bytes:
    return tiff_of([*_PIXEL, (282, 5, size // 8, 8)], bytes(size))


def tiff_values_of_exif(size: int) -> bytes:
    further = struct.pack("<HHHII", 1, 282, 5, size // 8, 40) + bytes(4)
    return tiff_of([*_PIXEL, (34665, 4, 1, 9)], b"x" + further + bytes(40 + size))


def _shared(size: int) -> bytes:
    """Directories whose entries all have the same bytes as their data."""
    return tiff_of([*_PIXEL[:4], *((50000 + k, 7, size, 8) for k in range(1000))], bytes(size))


def jpeg_exif_shared(size: int) -> bytes:
    segment = jpeg_segment(0xE1, b"Exif\0\0" + _shared(min(size, 50_000)))
    return after_start(encode(photo(), "JPEG"), segment)


def jpeg_pictures_shared(size: int) -> bytes:
    segment = jpeg_segment(0xE2, b"MPF\0" + _shared(min(size, 50_000)))
    return after_start(encode(photo(), "JPEG"), segment)


def png_exif_shared(size: int) -> bytes:
    block = _shared(min(size, 900_000))
    return _DOT[:33] + png_chunk(b"eXIf", block) + _DOT[33:]


def png_text_shared(size: int) -> bytes:
    block = _shared(min(size, 400_000)).hex().encode()
    text = png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n1\n" + block))
    return _DOT[:33] + text + _DOT[33:]


def tiff_shared(size: int) -> bytes:
    return tiff_of([*_PIXEL, *((50000 + k, 7, size, 8) for k in range(1000))], bytes(size))


def tiff_tile(size: int) -> bytes:
    """One pixel in one tile as large as ``size`` says, in pixels."""
    side = int(size**0.5)
    tile = [(322, 4, 1, side), (323, 4, 1, side), (324, 4, 1, 8), (325, 4, 1, 9)]
    return tiff_of([*_PIXEL[:3], (259, 3, 1, 8), *_PIXEL[4:5], *_PIXEL[6:7], *tile], b"x" * 99)


def _codestream() -> bytearray:
    zeros = np.zeros((64, 64), np.uint8)
    return bytearray(encode(zeros, "JPEG2000", no_jp2=True, num_resolutions=1))


def jpeg2000_tiles(size: int) -> bytes:
    """As many pixels as ``size`` says, in tiles of 8 x 8."""
    data = _codestream()
    data[8:16] = struct.pack(">II", int(size**0.5), int(size**0.5))
    data[24:32] = struct.pack(">II", 8, 8)
    return bytes(data)


def jpeg2000_precincts(size: int) -> bytes:
    """As many pixels as ``size`` says, in precincts of one."""
    data = _codestream()
    side = struct.pack(">II", int(size**0.5), int(size**0.5))
    data[8:16] = data[24:32] = side
    place = data.index(b"\xff\x52")
    segment = bytes(data[place + 4 : place + 14])
    data[place : place + 14] = jpeg_segment(0x52, b"\1" + segment[1:] + b"\0")
    return bytes(data)


def jpeg2000_segments(size: int) -> bytes:
    data = bytes(_codestream())
    place = 4 + int.from_bytes(data[4:6], "big")
    return data[:place] + b"\xff\x64\0\x04\0\1" * (size // 6) + data[place:]


def jpeg2000_boxes(size: int) -> bytes:
    """Empty boxes in the header box."""
    data = encode(photo(), "JPEG2000")
    place = data.index(b"jp2h") - 4
    end = place + int.from_bytes(data[place : place + 4], "big")
    more = (struct.pack(">I", 8) + b"free") * (size // 8)
    header = struct.pack(">I", end - place + len(more)) + data[place + 4 : end] + more
    return data[:place] + header + data[end:]


def avif_exif(size: int) -> bytes:
    """An EXIF orientation of many values."""
    # Pillow does not write an orientation; so write a maker's name and change it.
    maker = struct.pack(">HHIHH", 0x010F, 2, 4, 0, 0)
    block = exif(1)[:-16] + maker + bytes(4) + b"Q" * size
    many = struct.pack(">HHII", 0x0112, 5, size // 8, 26)
    return encode(photo(), "AVIF", exif=block).replace(maker, many)


REFUSED: tuple[tuple[str, Make, int, str], ...] = (
    ("jpeg-fill", jpeg_fill, 100_000, "fill bytes"),
    ("jpeg-fill-at-end", jpeg_fill_at_end, 100_000, "fill bytes"),
    ("jpeg-segment", jpeg_segments, 20_000, "more than 4,096 segments"),
    ("jpeg-table", jpeg_tables, 1_200_000, "more than 1,000,000 bytes of tables"),
    ("jpeg-exif", jpeg_exif, 1_200_000, "more than 1,000,000 bytes of EXIF data"),
    ("png-chunk", png_chunks, 1_700_000, "more small parts than a photo has"),
    ("png-profiles", png_profiles, 10_000, "more than 4 iCCP chunks"),
    ("png-exif", png_exif, 1_100_000, "more than 1,000,000 bytes of EXIF data"),
    ("pgm-comment", pgm_comments, 10_000, "more than 1,024 comments"),
    ("bmp-run", bmp_large, 36_000, "81,000,000 pixels"),
    ("tiff-entry", tiff_entries, 60_000, "entries in a directory"),
    ("tiff-value", tiff_values, 2_200_000, "more than 262,144 values"),
    ("tiff-exif-value", tiff_values_of_exif, 2_200_000, "more than 262,144 values"),
    ("jpeg-exif-shared", jpeg_exif_shared, 50_000, "tags whose data overlap"),
    ("jpeg-pictures-shared", jpeg_pictures_shared, 50_000, "tags whose data overlap"),
    ("png-exif-shared", png_exif_shared, 400_000, "tags whose data overlap"),
    ("png-text-shared", png_text_shared, 400_000, "tags whose data overlap"),
    ("tiff-shared", tiff_shared, 400_000, "tags whose data overlap"),
    ("tiff-tile", tiff_tile, 900_000_000, "tiles of 30000 x 30000"),
    ("jpeg2000-tile", jpeg2000_tiles, 4_000_000, "62,500 tiles"),
    ("jpeg2000-precinct", jpeg2000_precincts, 4_000_000, "precincts a tile"),
    ("jpeg2000-box", jpeg2000_boxes, 4_100_000, "a header of more than 4,000,000 bytes"),
    ("avif-exif", avif_exif, 2_200_000, "more than 262,144 values"),
)
"""Name, how to make it, a size that is refused, and words of the refusal."""
