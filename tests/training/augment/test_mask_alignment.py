"""Crops moved as a detector moves them that sees a mask; masks drawn into photos."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from benchmarks.mask_alignment import _CANVAS, fit_t, moved, wear_in_photo
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from visavis.errors import OptionError
from visavis.faces.align import positions
from visavis.training.augment import masks
from visavis.training.augment.masks import (
    DEGREES,
    FARTHEST,
    LOCATION,
    SCALE,
    apply_mask,
    draw_masks,
)


def noise(count: int, size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Textured faces, on which any move shows."""
    coarse = np.random.default_rng(3).integers(0, 256, (count, 12, 12, 3), dtype=np.uint8)
    return np.stack(
        [cv2.resize(one, (size, size), interpolation=cv2.INTER_CUBIC) for one in coarse]
    )


def test_a_worn_mask_comes_back_with_its_seed_row_by_row() -> None:
    before = noise(9, 72)
    after = apply_mask(before, size=72, scale=0.85, seed=4)
    np.testing.assert_array_equal(after, apply_mask(before, size=72, scale=0.85, seed=4))
    np.testing.assert_array_equal(after[:4], apply_mask(before[:4], size=72, scale=0.85, seed=4))
    assert not np.array_equal(after, apply_mask(before, size=72, scale=0.85, seed=5))
    np.testing.assert_array_equal(before, noise(9, 72))
    assert apply_mask(before[:0], size=72, scale=0.85, seed=4).shape == (0, 72, 72, 3)


@pytest.mark.parametrize(("size", "scale"), [(144, 0.85), (112, 1.0)])
def test_the_crop_under_the_mask_moves_by_the_similarity_drawn(
    monkeypatch: pytest.MonkeyPatch, size: int, scale: float
) -> None:
    monkeypatch.setattr(masks, "draw_masks", lambda crops, **_: crops.copy())
    before = noise(8, size)
    after = apply_mask(before, size=size, scale=scale, seed=11)
    unit = size / 112 * scale
    middle = positions(size=size, scale=scale).mean(0)
    inner = slice(size // 3, -size // 3)
    for i in range(8):
        rng = np.random.default_rng((11, i, 1))
        draw = rng.standard_normal(4) / np.sqrt(rng.chisquare(DEGREES) / DEGREES)
        zoom, turn, right, down = LOCATION + np.linalg.cholesky(SCALE) @ draw
        # Where each pixel of the result comes from, one after the other, by nearest neighbor.
        expected = np.zeros_like(before[i])
        for y in range(size):
            for x in range(size):
                at = np.array([x - right * unit, y - down * unit]) - middle
                c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
                back = np.array([c * at[0] + s * at[1], -s * at[0] + c * at[1]]) / np.exp(zoom)
                u, v = np.clip(np.rint(back + middle).astype(int), 0, size - 1)
                expected[y, x] = before[i, v, u]
        apart = np.abs(after[i].astype(int) - expected)[inner, inner].mean()
        still = np.abs(after[i].astype(int) - before[i])[inner, inner].mean()
        assert apart < 12
        assert apart < still


def test_moves_are_drawn_from_the_distribution_that_was_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[tuple[float, ...]] = []

    def kept(crop: np.ndarray, *move: object) -> np.ndarray:
        zoom, turn, shift, _ = move
        drawn.append((zoom, turn, *shift))  # type: ignore[arg-type, misc]
        return crop

    monkeypatch.setattr(masks, "draw_masks", lambda crops, **_: crops.copy())
    monkeypatch.setattr(masks, "_moved", kept)
    apply_mask(np.zeros((6000, 8, 8, 3), np.uint8), size=8, scale=1.0, seed=5)
    away = np.array(drawn) - LOCATION
    squared = np.einsum("nd,de,ne->n", away, np.linalg.inv(SCALE), away)
    assert squared.max() == pytest.approx(FARTHEST**2, rel=1e-6)  # cut off there, once in a while
    inside = squared[squared < 0.99 * FARTHEST**2] / 4
    # Squared distances of a t distribution follow F.
    assert stats.kstest(inside, stats.f(4, DEGREES).cdf).pvalue > 0.01
    assert stats.kstest(squared / 4, stats.chi2(4, scale=0.25).cdf).pvalue < 1e-9
    location, scale = fit_t(np.array(drawn), DEGREES)
    np.testing.assert_allclose(location, LOCATION, atol=0.15)
    np.testing.assert_allclose(np.diag(scale), np.diag(SCALE), rtol=0.1)


@pytest.mark.parametrize("degrees", [3, 5, 30])
def test_the_benchmark_fits_a_t_distribution_as_a_search_for_the_likeliest_would(
    degrees: int,
) -> None:
    shape = np.array([[2.0, 0.6], [0.6, 1.0]])
    values = stats.multivariate_t([1.0, -2.0], shape, df=degrees, seed=3).rvs(400)
    location, scale = fit_t(values, degrees)
    best = stats.multivariate_t(location, scale, df=degrees).logpdf(values).sum()
    for step in np.random.default_rng(0).normal(0, 0.05, (60, 5)):
        other = scale + np.array([[step[0], step[1]], [step[1], step[2]]])
        here = location + step[3:]
        assert stats.multivariate_t(here, other, df=degrees).logpdf(values).sum() < best + 1e-9


@given(
    change=st.tuples(st.floats(-0.3, 0.3), st.floats(-40, 40), st.floats(-9, 9), st.floats(-9, 9)),
    side=st.floats(20, 300),
    lean=st.floats(-60, 60),
)
def test_the_benchmark_reads_a_move_back_whatever_the_photo(
    change: tuple[float, float, float, float], side: float, lean: float
) -> None:
    zoom, turn, right, down = change
    template = positions()
    middle = template.mean(0)

    def rotation(degrees: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        angle = np.deg2rad(degrees)
        return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    # A crop shows the face changed if the landmarks were misread by the opposite change.
    misread = (template - middle - [right, down]) @ rotation(turn) / np.exp(zoom) + middle
    photo = [points @ rotation(lean) * side / 112 + [40.0, 70.0] for points in (template, misread)]
    assert moved(*photo) == pytest.approx(change, abs=1e-6)


def test_masks_in_photos_change_nothing_but_what_they_cover() -> None:
    photo = np.asarray(cv2.resize(noise(1, 200)[0], (320, 240)))
    landmarks = (positions() - 56) * 0.9 + [150.0, 110.0]
    before = photo.copy()
    for seed in range(12):
        after = wear_in_photo(photo, landmarks, seed=seed)
        np.testing.assert_array_equal(photo, before)
        change = np.abs(after.astype(int) - photo).max(-1)
        for x, y in landmarks[:2].astype(int):
            assert change[y - 2 : y + 3, x - 2 : x + 3].max() <= 14
        x, y = landmarks[3:].mean(0).astype(int)
        assert (change[y - 4 : y + 5, x - 4 : x + 5] > 5).mean() > 0.8
        assert change[:60].max() == 0
        assert change[:, 260:].max() == 0
    same = wear_in_photo(photo, landmarks, seed=0)
    np.testing.assert_array_equal(same, wear_in_photo(photo, landmarks, seed=0))
    assert not np.array_equal(same, wear_in_photo(photo, landmarks, seed=1))


def test_the_mask_in_a_photo_is_the_one_that_crops_get() -> None:
    # A photo that is a crop on the canvas: drawing by either way is the same.
    size, scale = _CANVAS
    photo = noise(1, size)[0]
    after = wear_in_photo(photo, positions(size=size, scale=scale), seed=21)
    expected = draw_masks(photo[None], size=size, scale=scale, seed=21)[0]
    assert np.abs(after.astype(int) - expected).max() <= 1


def test_a_face_at_the_border_is_masked_as_far_as_it_shows() -> None:
    photo = noise(1, 120)[0]
    landmarks = (positions() - 56) * 0.9 + [100.0, 90.0]
    assert wear_in_photo(photo, landmarks, seed=2).shape == photo.shape
    assert not np.array_equal(wear_in_photo(photo, landmarks, seed=2), photo)


def test_what_cannot_wear_a_mask_is_refused() -> None:
    with pytest.raises(OptionError, match=r"\(9, 9\)"):
        wear_in_photo(np.zeros((9, 9), np.uint8), positions(), seed=0)
    with pytest.raises(OptionError, match="landmarks"):
        wear_in_photo(noise(1, 90)[0], np.zeros((5, 2)), seed=0)
    with pytest.raises(OptionError, match="-1"):
        apply_mask(noise(1, 72), size=72, scale=1.0, seed=-1)
