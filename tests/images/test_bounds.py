"""The work of decoding is bounded by the picture, and linear in the bytes of the file."""

from __future__ import annotations

import time
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import ImageFile
from tests.images import crafted
from tests.images.encoders import encode, noise, photo, png, png_chunk, png_rows

from visavis import images
from visavis.errors import ImageError, ImageUnsupportedError
from visavis.images import opening

_SIZE = 4_000
_GROWTH = 16
_PARTS = [
    crafted.jpeg_fill_in_header,
    crafted.jpeg_junk_in_header,
    crafted.png_chunks,
    crafted.png_empty_data,
    crafted.pgm_comment_in_header,
    crafted.gif_comments,
    crafted.gif_junk,
    crafted.bmp_lines,
]
_CHEAP = [
    crafted.jpeg_fill_after_end,
    crafted.png_data,
    crafted.png_headers,
    crafted.jpeg2000_segments,
    crafted.jpeg2000_boxes,
    *_PARTS,
    *(make for _, make, _, _ in crafted.REFUSED if make is not crafted.avif_exif),
]
_SIZES = {crafted.pgm_comments: 25_000}


def attempt(data: bytes) -> None:
    try:
        images.decode(data)
    except ImageError:
        return


def seconds(data: bytes) -> float:
    """Least processor time of three attempts."""
    times = []
    for _ in range(3):
        start = time.process_time()
        attempt(data)
        times.append(time.process_time() - start)
    return min(times)


def peak(work: Callable[[], Any]) -> int:
    """Most bytes that Python's allocators hold meanwhile."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("make", sorted(set(_CHEAP), key=lambda make: make.__name__))
def test_time_is_not_quadratic(make: crafted.Make) -> None:
    """Linear takes 16 times as long, quadratic 256 times; 1.25 ms are noise."""
    size = _SIZES.get(make, _SIZE)
    small, large = make(size), make(_GROWTH * size)
    assert seconds(large) <= 64 * max(seconds(small), 0.00125)


@pytest.mark.parametrize("make", _PARTS)
def test_small_parts_are_counted(make: crafted.Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_MOST_READS", 500)
    with pytest.raises(ImageUnsupportedError):
        images.decode(make(_SIZE))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM"])
def test_photos_need_few_parts(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_MOST_READS", 500)
    assert images.decode(encode(noise(300, 200), kind)).shape == (300, 200, 3)


def test_png_may_have_as_many_data_chunks_as_rows() -> None:
    rows = png_rows(np.zeros((20_000, 1), np.uint8))
    whole = png((1, 20_000), 8, 0, rows)
    data = zlib.compress(rows, 0)
    parts = (png_chunk(b"IDAT", data[i : i + 2]) for i in range(0, len(data), 2))
    assert images.decode(whole[:33] + b"".join(parts) + whole[-12:]).shape == (20_000, 1, 3)


def test_restart_markers_take_no_memory() -> None:
    data = crafted.jpeg_restarts(400_000)
    assert peak(lambda: attempt(data)) < 4 * len(data)


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (crafted.jpeg_segments, 400_000),
        (crafted.tiff_entries, 400_000),
        (crafted.tiff_values, 2_200_000),
    ],
)
def test_parts_take_little_memory(make: crafted.Make, size: int) -> None:
    data = make(size)
    assert peak(lambda: attempt(data)) < 4 * len(data)


def test_a_hundred_scans_are_read() -> None:
    data = encode(photo(), "JPEG", progressive=True, quality=95)
    have = data.count(b"\xff\xda")
    last = data[data.rindex(b"\xff\xda") : -2]
    more = [data[:-2] + last * (count - have) + b"\xff\xd9" for count in (100, 101)]
    assert images.decode(more[0]).shape == (48, 64, 3)
    with pytest.raises(ImageUnsupportedError, match="100 scans"):
        images.decode(more[1])


def test_nothing_is_filled_in_for_a_lenient_host_and_its_setting_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for lenient in (True, False):
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
        with pytest.raises(ImageError):
            images.decode(encode(noise(), "JPEG")[:2000])
        assert ImageFile.LOAD_TRUNCATED_IMAGES is lenient
