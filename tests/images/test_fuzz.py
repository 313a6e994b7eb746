"""Damaged bytes: an error of the image family or an array of the header's size, nothing else."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from tests.images.mutation import FAMILIES, damaged

from visavis import images
from visavis.errors import ImageError, MissingExtraError

_LIMITS = images.Limits(max_pixels=200_000)


def check(data: bytes) -> np.ndarray | None:
    """Decode; the pixels if it is a photo, None if it was refused as it should be."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            pixels = images.decode(data, limits=_LIMITS)
        except (ImageError, MissingExtraError) as error:
            message = str(error)
            pixels = None
    if pixels is None:
        assert message.startswith("bytes (")
        assert message.isprintable()
        return None
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    if data[4:8] != b"ftyp":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            width, height = PillowImage.open(io.BytesIO(data)).size
        assert pixels.shape[:2] in {(height, width), (width, height)}
    return pixels


@pytest.mark.timeout(120)
@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged(family: str, data: st.DataObject) -> None:
    check(data.draw(damaged(family)))


@pytest.mark.timeout(120)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_heic(data: st.DataObject) -> None:
    pytest.importorskip("pillow_heif")
    check(data.draw(damaged("HEIF")))


@pytest.mark.timeout(60)
@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(
        b"|\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF89a|RIFF\x20\0\0\0WEBPVP8 |BM|II*\0\x08\0\0\0|MM\0*"
        b"|P6 |P2\n|P1\n|\0\0\0\x18ftypavif|\xff\x4f\xff\x51\0".split(b"|")
    ),
    st.binary(max_size=400),
)
def test_noise_after_a_signature(signature: bytes, rest: bytes) -> None:
    check(signature + rest)
