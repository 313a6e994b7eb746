"""HEIC, with pi-heif and without. Photos are encoded by pillow-heif, which tests only install."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from tests.images.encoders import exif, heic, noise, photo
from tests.images.orientation import as_stored

from visavis import images
from visavis.errors import ImageTooLargeError, ImageTruncatedError, MissingExtraError

_HEADER = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(MissingExtraError, match=r'^IMG_1\.HEIC.*; pip install "visavis\[heif\]"$'):
        images.decode(_HEADER, name="IMG_1.HEIC")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright(orientation: int) -> None:
    pytest.importorskip("pillow_heif")
    data = heic(as_stored(photo(), orientation), exif=exif(orientation)[6:])
    pixels = images.decode(data)
    assert pixels.shape == (48, 64, 3)
    assert np.abs(pixels.astype(int) - photo()).mean() < 4


def test_transparency_goes_on_white() -> None:
    pytest.importorskip("pillow_heif")
    clear = np.dstack([photo(), np.zeros((48, 64), np.uint8)])
    assert images.decode(heic(clear)).min() > 250


def test_damage_and_size() -> None:
    pytest.importorskip("pillow_heif")
    data = heic(noise())
    with pytest.raises(ImageTruncatedError):
        images.decode(data[: len(data) // 2])
    with pytest.raises(ImageTruncatedError):
        images.decode(_HEADER)
    with pytest.raises(ImageTooLargeError, match="64 x 48"):
        images.decode(data, limits=images.Limits(max_pixels=99))
