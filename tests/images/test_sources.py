"""The same photo through every kind of source, and what becomes of the source."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from tests.images.encoders import encode, exif, photo

from visavis import images
from visavis.errors import (
    ImageNotFoundError,
    ImageTooLargeError,
    ImageTruncatedError,
    ImageUnsupportedError,
    OptionError,
)

_PHOTO = photo()
_DATA = encode(_PHOTO, "PNG")


class _Dribble(io.RawIOBase):
    """Gives a few bytes a call, cannot seek, as a socket does."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._data.read(min(size, 100))


def test_every_source_gives_equal_pixels(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(_DATA)
    entry = next(iter(os.scandir(tmp_path)))
    with path.open("rb") as file:
        sources = [path, str(path), entry, _DATA, bytearray(_DATA), memoryview(_DATA), file]
        sources += [io.BytesIO(_DATA), _Dribble(_DATA), PillowImage.open(path), _PHOTO]
        sources += [_PHOTO.astype(">u1"), np.asfortranarray(_PHOTO), PillowImage.fromarray(_PHOTO)]
        for source in sources:
            assert np.array_equal(images.decode(source), _PHOTO), source
        assert not file.closed


@pytest.mark.parametrize("shape", [(48, 64), (48, 64, 1)])
def test_gray_arrays(shape: tuple[int, ...]) -> None:
    gray = _PHOTO[..., 0].reshape(shape)
    assert np.array_equal(images.decode(gray), np.stack([_PHOTO[..., 0]] * 3, -1))


def test_result_is_new_and_writable() -> None:
    array = _PHOTO.copy()
    for source in (array, PillowImage.fromarray(array), _DATA):
        pixels = images.decode(source)
        pixels[:] = 0
        assert pixels.flags.c_contiguous
    assert np.array_equal(array, _PHOTO)


def test_pil_image_is_left_as_it_was() -> None:
    image = PillowImage.open(io.BytesIO(encode(_PHOTO, "PNG", exif=exif(6))))
    before = image.size, image.mode, dict(image.info)
    images.decode(image)
    images.decode(image)
    assert (image.size, image.mode, dict(image.info)) == before
    assert image.getexif()[0x0112] == 6


def test_pil_image_cut_short_is_refused() -> None:
    image = PillowImage.open(io.BytesIO(encode(_PHOTO, "BMP")[:3000]))
    with pytest.raises(ImageTruncatedError, match=r"^PIL image \(RGB 64 x 48\)"):
        images.decode(image)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pil_image_without_a_white_is_refused(mode: str) -> None:
    with pytest.raises(ImageUnsupportedError):
        images.decode(PillowImage.new(mode, (4, 4)))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX"])
@pytest.mark.parametrize("size", [(1, 1), (5, 3)])
def test_pil_modes_have_three_channels(mode: str, size: tuple[int, int]) -> None:
    pixels = images.decode(PillowImage.new(mode, size))
    assert pixels.shape == (*size[::-1], 3)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "LAB", "I;16", "I;16B", "I;16L"])
def test_other_pil_modes_have_three_channels(mode: str) -> None:
    assert images.decode(PillowImage.new(mode, (5, 3))).shape == (3, 5, 3)


def test_file_object_is_read_from_where_it_stands() -> None:
    stream = io.BytesIO(b"header" + _DATA)
    stream.seek(6)
    assert np.array_equal(images.decode(stream), _PHOTO)
    with pytest.raises(ImageTruncatedError, match=r"0 bytes.*seek\(0\)"):
        images.decode(stream)


def test_unsuitable_file_objects(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(_DATA)
    with pytest.raises(ImageUnsupportedError, match=r"str.*'rb'"):
        images.decode(io.StringIO("text"))
    closed = (tmp_path / "a.png").open("rb")
    closed.close()
    with pytest.raises(ImageNotFoundError, match=r"a\.png.*closed file"):
        images.decode(closed)
    with (tmp_path / "b.png").open("wb") as only_writable, pytest.raises(ImageNotFoundError):
        images.decode(only_writable)


def test_not_permitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "private.png"
    path.write_bytes(_DATA)

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ImageNotFoundError, match=r"private\.png.*permission"):
        images.decode(path)


def test_file_that_becomes_a_pipe_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(_DATA)
    truth = path.stat()
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(Path, "stat", lambda *_, **__: truth)
    with pytest.raises(ImageNotFoundError, match="pipe"):
        images.decode(path)


def test_limits_on_pixels() -> None:
    limits = images.Limits(max_pixels=64 * 48)
    assert images.decode(_DATA, limits=limits).shape == (48, 64, 3)
    tight = images.Limits(max_pixels=64 * 48 - 1)
    for source in (_DATA, _PHOTO, PillowImage.fromarray(_PHOTO)):
        with pytest.raises(ImageTooLargeError, match=r"3,072.*3,071"):
            images.decode(source, limits=tight)


def test_limits_on_bytes(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(_DATA)
    exact = images.Limits(max_bytes=len(_DATA))
    tight = images.Limits(max_bytes=len(_DATA) - 1)
    for make in (lambda: path, lambda: _DATA, lambda: io.BytesIO(_DATA)):
        assert images.decode(make(), limits=exact).shape == (48, 64, 3)
        with pytest.raises(ImageTooLargeError):
            images.decode(make(), limits=tight)


def test_limits_on_sides() -> None:
    with pytest.raises(ImageUnsupportedError, match=r"64 x 48.*50 x 50"):
        images.decode(_DATA, limits=images.Limits(min_side=50))


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "9"])
@pytest.mark.parametrize("option", ["max_pixels", "max_bytes", "min_side"])
def test_limits_are_whole_numbers(option: str, bad: object) -> None:
    with pytest.raises(OptionError, match=f"{option}="):
        images.Limits(**{option: bad})


def test_digest_of_pixels_knows_their_shape() -> None:
    again = images.decode(PillowImage.fromarray(_PHOTO))
    assert images.digest(_PHOTO) == images.digest(again)
    assert images.digest(_PHOTO) != images.digest(_PHOTO.reshape(64, 48, 3))
    assert images.digest(_PHOTO) != images.digest(_PHOTO.tobytes())
    assert images.digest(np.asfortranarray(_PHOTO)) == images.digest(_PHOTO)


def test_one_read_serves_hash_and_pixels(tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(_DATA[:99])
    data = images.read_bytes(path)
    assert images.digest(data) == hashlib.sha256(_DATA[:99]).hexdigest()
    with pytest.raises(ImageTruncatedError, match=r"broken\.png.*PNG"):
        images.decode(data, name=images.describe(path))


def test_descriptions() -> None:
    assert images.describe(Path("people/ann.jpg")) == "people/ann.jpg"
    assert images.describe(" a.jpg") == "' a.jpg'"
    assert images.describe("a\x1b[31m.jpg") == r"'a\x1b[31m.jpg'"
    assert images.describe(memoryview(_PHOTO)) == "bytes (9,216 B)"
    assert images.describe(PillowImage.new("L", (3, 2))) == "PIL image (L 3 x 2)"
    assert images.describe(io.BytesIO()) == "file object"
    assert images.describe(None) == "object of type NoneType"
    assert len(images.describe("x" * 5000)) < 300


def test_errors_travel_between_processes() -> None:
    with pytest.raises(ImageTruncatedError) as caught:
        images.decode(_DATA[:99])
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
