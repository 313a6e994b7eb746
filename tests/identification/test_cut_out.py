"""Kept crops give what the photo would have given."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from tests.contracts.photos import LANDMARKS, scaled

from visavis.errors import GalleryDamagedError
from visavis.faces import align
from visavis.identification.cut_out import cut_out, recrop


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
@pytest.mark.parametrize(("size", "crop_scale"), [(112, 1.0), (112, 0.97), (160, 0.7), (96, 0.5)])
def test_as_from_the_photo(
    portrait: np.ndarray, scale: float, size: int, crop_scale: float
) -> None:
    photo, landmarks = scaled(portrait, scale), LANDMARKS * scale
    kept = cut_out(photo, landmarks)
    again = recrop(kept, size=size, scale=crop_scale).astype(float)
    direct = align.crop(photo, landmarks, size=size, scale=crop_scale).astype(float)
    # The kept crop's own border may cut corners off at the widest.
    inner = slice(size // 10, -size // 10)
    difference = np.abs(again - direct)[inner, inner]
    assert difference.mean() < 4
    wrong = np.abs(np.roll(again, 2, axis=1) - direct)[inner, inner].mean()
    assert difference.mean() < wrong / 1.5  # two pixels of shift would show


def test_it_is_a_small_square_png(portrait: np.ndarray) -> None:
    for scale, most in ((0.25, 140), (1.0, 320), (2.0, 320)):
        kept = cut_out(scaled(portrait, scale), LANDMARKS * scale)
        picture = Image.open(io.BytesIO(kept))
        assert picture.format == "PNG"
        assert picture.width == picture.height
        assert 112 <= picture.width <= most


@pytest.mark.parametrize("png", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_damage_is_said(png: bytes) -> None:
    with pytest.raises(GalleryDamagedError, match="crop"):
        recrop(png, size=112, scale=1.0)
