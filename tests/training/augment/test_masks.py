"""Synthetic masks: where they are, that they differ, that they can be had again."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.errors import OptionError
from visavis.faces.align import positions
from visavis.training.augment.mask_shapes import SHAPES, outline
from visavis.training.augment.masks import PATTERNS, draw_masks


def skin(count: int, size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Flat faces of one color, which no fabric has."""
    return np.broadcast_to(np.uint8([190, 140, 110]), (count, size, size, 3)).copy()


@pytest.mark.parametrize(("size", "scale"), [(144, 0.85), (112, 1.0), (56, 1.0)])
def test_nose_mouth_and_chin_are_covered_and_the_eyes_free(size: int, scale: float) -> None:
    before = skin(60, size)
    after = draw_masks(before, size=size, scale=scale, seed=1)
    change = np.abs(after.astype(int) - before).max(-1)
    eyes, nose, mouth = np.split(positions(size=size, scale=scale).round().astype(int), [2, 3])
    radius = max(
        1, round(3 * size / 112 * scale)
    )  # the opening of an eye, about; 12 levels are the faintest shadow
    for x, y in eyes:
        assert change[:, y - radius : y + radius + 1, x - radius : x + radius + 1].max() <= 12
    for x, y in (*nose, *mouth, (size // 2, min(size - 3, mouth[0, 1] + size // 10))):
        # A fabric may come near the skin's color, but not over a whole patch of many masks.
        patch = change[:, y - 1 : y + 2, x - 1 : x + 2].max((1, 2))
        assert (patch > 5).mean() > 0.95


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_every_cut_covers_nose_tip_and_mouth_whatever_is_drawn(shape: object) -> None:
    import cv2

    chosen = next(s for s in SHAPES if s is shape)
    for seed in range(200):
        edge = outline(chosen, np.random.default_rng(seed)).edge.astype(np.float32)
        # Distances in template pixels; the jitter of a mask moves it by 2.4 at most.
        for x, y in ((0, 20), (-14.5, 40.7), (14.5, 40.7)):
            assert cv2.pointPolygonTest(edge, (x, y), True) > 2.4
        for x in (-17.6, 17.6):
            assert cv2.pointPolygonTest(edge, (x, 0.0), True) < -5


def test_masks_differ_between_faces_and_come_back_with_the_seed() -> None:
    before = skin(12, 72)
    after = draw_masks(before, size=72, scale=0.85, seed=9)
    np.testing.assert_array_equal(after, draw_masks(before, size=72, scale=0.85, seed=9))
    # A row's mask does not depend on how many come with it.
    np.testing.assert_array_equal(after[:5], draw_masks(before[:5], size=72, scale=0.85, seed=9))
    assert len(np.unique(after.reshape(12, -1), axis=0)) == 12
    assert not np.array_equal(after, draw_masks(before, size=72, scale=0.85, seed=10))
    np.testing.assert_array_equal(before, skin(12, 72))


def test_a_gray_photo_gets_a_gray_mask() -> None:
    gray = np.full((8, 72, 72, 3), 128, dtype=np.uint8)
    after = draw_masks(gray, size=72, scale=0.85, seed=0).astype(int)
    assert np.ptp(after, axis=-1).max() <= 1


def test_a_mask_is_darker_in_a_dark_photo() -> None:
    dark, light = (
        draw_masks(np.full((20, 72, 72, 3), level, np.uint8), size=72, scale=0.85, seed=0)
        for level in (40, 180)
    )
    assert dark[:, 45:60, 30:42].mean() < 0.75 * light[:, 45:60, 30:42].mean()


@pytest.mark.parametrize("name", [name for name in PATTERNS if name != "plain"])
def test_patterns_have_both_colors(name: str) -> None:
    grid = (
        np.linspace(-40, 40, 90, dtype=np.float32)[None],
        np.linspace(0, 70, 80, dtype=np.float32)[:, None],
    )
    weights = PATTERNS[name](grid, np.random.default_rng(0))
    assert weights.shape == (80, 90)
    assert weights.min() == 0
    assert weights.max() == 1
    assert 0.05 < weights.mean() < 0.95


def test_bad_crops_and_seeds_are_refused() -> None:
    with pytest.raises(OptionError, match=r"\(N, 72, 72, 3\)"):
        draw_masks(skin(1, 70), size=72, scale=1.0, seed=0)
    with pytest.raises(OptionError, match="seed -3"):
        draw_masks(skin(1, 72), size=72, scale=1.0, seed=-3)
    assert draw_masks(skin(0, 72), size=72, scale=1.0, seed=0).shape == (0, 72, 72, 3)
