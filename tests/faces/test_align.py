"""Alignment against scikit-image's estimator and hand-made pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.transform import SimilarityTransform

from visavis.errors import OptionError
from visavis.faces import align

finite = st.floats(-1e3, 1e3)


@given(
    angle=st.floats(-3.1, 3.1),
    scale=st.floats(0.05, 20),
    shift=st.tuples(finite, finite),
    noise=st.floats(0, 5),
    seed=st.integers(0, 1000),
)
def test_similarity_equals_scikit_image(angle, scale, shift, noise, seed) -> None:
    rng = np.random.default_rng(seed)
    c, s = np.cos(angle), np.sin(angle)
    target = scale * align.TEMPLATE @ np.array([[c, -s], [s, c]]).T + shift
    target += rng.normal(0, noise * scale, target.shape)
    want = SimilarityTransform.from_estimate(align.TEMPLATE, target)
    got = align.similarity(align.TEMPLATE, target)
    np.testing.assert_allclose(got, want.params[:2], rtol=1e-6, atol=1e-6 * (1 + scale * 100))


def test_no_better_similarity_is_near() -> None:
    rng = np.random.default_rng(1)
    source = rng.random((5, 2)) * 100
    target = rng.random((5, 2)) * 100

    def loss(matrix):
        return float(((source @ matrix[:, :2].T + matrix[:, 2] - target) ** 2).sum())

    best = align.similarity(source, target)
    a, b = best[0, 0], best[1, 0]
    for da, db, dx, dy in rng.normal(0, 0.05, (200, 4)):
        other = np.array([[a + da, -b - db, best[0, 2] + dx], [b + db, a + da, best[1, 2] + dy]])
        assert loss(other) >= loss(best)


def smooth(height: int, width: int) -> np.ndarray:
    """A photo whose color tells the place: red rises to the right, green downwards."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 / (width - 1), y * 255 / (height - 1), 0 * x + 90], 2).astype(np.uint8)


@pytest.mark.parametrize("size", [32, 56, 112, 160, 224])
@pytest.mark.parametrize("factor", [0.3, 1.0, 2.5, 6.0, 17.0])
def test_crop_shows_the_right_place(size: int, factor: float) -> None:
    """Each pixel of the crop has the color of the place in the photo that it stands for."""
    side = int(150 * factor) + 20
    photo = smooth(side, side)
    landmarks = align.TEMPLATE * factor + 8
    crop = align.crop(photo, landmarks, size=size).astype(float)
    middle = np.arange(size // 4, 3 * size // 4)
    place = ((middle + 0.5) * 112 / size - 0.5) * factor + 8
    want = place * 255 / (side - 1)
    np.testing.assert_allclose(crop[size // 2, middle, 0], want, atol=2.5)
    np.testing.assert_allclose(crop[middle, size // 2, 1], want, atol=2.5)


def test_large_faces_are_averaged_not_sampled() -> None:
    """A one-pixel checkerboard on a huge face becomes even gray, not a moiré."""
    y, x = np.mgrid[:2400, :2400]
    photo = np.repeat((((x + y) % 2) * 255).astype(np.uint8)[..., None], 3, axis=2)
    crop = align.crop(photo, align.TEMPLATE * 20 + 30)
    assert abs(float(crop.mean()) - 127.5) < 2
    assert float(crop.std()) < 8


def test_outside_the_photo_is_black() -> None:
    photo = np.full((40, 40, 3), 255, np.uint8)
    crop = align.crop(photo, align.TEMPLATE + 35)
    assert crop[:3, :3].mean() > 200
    assert crop[-50:, -50:].max() == 0
    assert align.crop(photo, align.TEMPLATE * 9 + 5000).max() == 0


def test_upright_template_is_the_identity() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (112, 112, 3)).astype(np.uint8)
    np.testing.assert_array_equal(align.crop(photo, align.TEMPLATE), photo)


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((5, 2)),
        np.full((5, 2), np.nan),
        np.full((5, 2), 7.0),
        np.zeros((4, 2)),
        np.zeros(10),
    ],
)
def test_unusable_landmarks_are_refused(points: np.ndarray) -> None:
    with pytest.raises(OptionError):
        align.crop(np.zeros((50, 50, 3), np.uint8), points)
    with pytest.raises(OptionError, match="4 pixels"):
        align.crop(np.zeros((50, 50, 3), np.uint8), align.TEMPLATE, size=4)


def test_a_smaller_scale_shows_more_around_the_same_middle() -> None:
    photo = smooth(400, 400)
    landmarks = align.TEMPLATE * 2 + 50
    plain = align.crop(photo, landmarks).astype(float)
    wider = align.crop(photo, landmarks, scale=0.8).astype(float)
    np.testing.assert_allclose(wider[72, 56], plain[72, 56], atol=1.5)
    slope = (wider[72, 90, 0] - wider[72, 20, 0]) / (plain[72, 90, 0] - plain[72, 20, 0])
    assert slope == pytest.approx(1 / 0.8, rel=0.02)
