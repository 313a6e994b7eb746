"""Windows cut from a photo against sampling by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from visavis.faces.detecting import OUTSIDE, ImagePyramid


def ramp(height: int, width: int) -> np.ndarray:
    """A photo whose channels are linear in x, in y, and constant: any resampling keeps them so."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * (200 / width), y * (200 / height), np.full_like(x, 50)], axis=2).astype(
        np.uint8
    )


def halved(values: np.ndarray) -> np.ndarray:
    """A row of pixels at half its length: each the mean of what it covers, to the nearest."""
    length = len(values) // 2
    edges = np.linspace(0, len(values), length + 1)
    total = np.concatenate([[0], np.cumsum(values, dtype=np.float64)])
    means = np.diff(np.interp(edges, np.arange(len(total)), total)) / (len(values) / length)
    return np.floor(means + 0.5)


def sampled(length: int, places: np.ndarray, halvings: int) -> np.ndarray:
    """The ramp at places in pixels of the photo, read from its halves by hand."""
    row = np.floor(np.arange(length) * (200 / length))
    for _ in range(halvings):
        row = halved(row)
    return np.interp(places * (len(row) / length) - 0.5, np.arange(len(row)), row)


@settings(max_examples=60)
@given(
    height=st.integers(40, 300),
    width=st.integers(40, 300),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
    part=st.floats(0.2, 1),
    side=st.sampled_from([12, 24, 48]),
)
@example(height=296, width=296, x=0.0, y=0.0, part=0.71875, side=12)
def test_windows_show_what_lies_there(  # noqa: PLR0917
    height, width, x, y, part, side
) -> None:
    extent = part * min(height, width)
    left, top = x * (width - extent), y * (height - extent)
    window = ImagePyramid(ramp(height, width)).windows(np.array([[left, top, extent]]), side)[0]
    middle = (np.arange(side) + 0.5) * (extent / side)
    inner = slice(side // 6 + 1, -(side // 6) - 1)  # edges blend with what lies outside
    halvings = max(int(np.log2(extent / side)), 0)
    step = 200 / min(height, width)
    np.testing.assert_allclose(
        window[side // 2, inner, 0],
        sampled(width, left + middle, halvings)[inner],
        atol=1.5 + 0.6 * step,
    )
    np.testing.assert_allclose(
        window[inner, side // 2, 1],
        sampled(height, top + middle, halvings)[inner],
        atol=1.5 + 0.6 * step,
    )
    assert np.abs(window[inner, inner, 2].astype(int) - 50).max() <= 1


def test_windows_average_instead_of_skipping() -> None:
    stripes = np.zeros((256, 256, 3), dtype=np.uint8)
    stripes[:, ::2] = 200
    window = ImagePyramid(stripes).windows(np.array([[0, 0, 256]]), 24)[0]
    assert np.abs(window[2:-2, 2:-2].astype(int) - 100).max() <= 2


@pytest.mark.parametrize(
    "square", [(-500, 10, 50), (10, -500, 50), (400, 10, 50), (10, 400, 50), (-1e5, -1e5, 3)]
)
def test_windows_outside_the_photo_are_gray(square: tuple[float, float, float]) -> None:
    window = ImagePyramid(np.zeros((90, 120, 3), dtype=np.uint8)).windows(np.array([square]), 24)
    assert window.shape == (1, 24, 24, 3)
    assert (window == OUTSIDE[0]).all()


def test_a_window_over_the_border_is_gray_beyond_it() -> None:
    photo = np.full((100, 100, 3), 250, dtype=np.uint8)
    window = ImagePyramid(photo).windows(np.array([[-24, 20, 48]]), 48)[0]
    assert (window[:, :23] == OUTSIDE[0]).all()
    assert (window[:, 25:] == 250).all()


def test_photos_longer_than_opencv_takes() -> None:
    photo = np.full((4, 50_000, 3), 90, dtype=np.uint8)
    window = ImagePyramid(photo).windows(np.array([[49_000, 0, 4]]), 24)[0]
    assert np.abs(window[3:-3, 3:-3].astype(int) - 90).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (30, 20), (61, 41), (300, 200)])
def test_resized_keeps_the_mean(size: tuple[int, int]) -> None:
    photo = ramp(41, 61)
    resized = ImagePyramid(photo).resized(*size)
    assert resized.shape == (size[1], size[0], 3)
    np.testing.assert_allclose(resized.mean((0, 1)), photo.mean((0, 1)), atol=4)


def test_no_windows() -> None:
    halves = ImagePyramid(np.zeros((9, 9, 3), dtype=np.uint8))
    assert halves.windows(np.empty((0, 3)), 24).shape == (0, 24, 24, 3)
