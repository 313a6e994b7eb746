"""One resampling from the pack's geometry to the network's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from visavis.errors import OptionError
from visavis.faces.align import TEMPLATE, crop, positions
from visavis.training.augment import AugmentOptions
from visavis.training.augment.augmenter import Augmenter
from visavis.training.augment.resampling import Resampler

PACK = (144, 0.85)


def photo(size: int, seed: int) -> NDArray[np.uint8]:
    """Smooth shapes with edges, about as rough as a photo of a face."""
    rng = np.random.default_rng(seed)
    image = np.full((size, size, 3), 90, dtype=np.uint8)
    for _ in range(60):
        middle, axes = rng.integers(0, size, 2), rng.integers(size // 40, size // 8, 2)
        color = rng.integers(30, 226, 3).tolist()
        cv2.ellipse(image, middle.tolist(), axes.tolist(), rng.uniform(0, 180), 0, 360, color, -1)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), size / 250), dtype=np.uint8)


def landmarks(size: int, eyes: float, turn: float) -> NDArray[np.float64]:
    """The template at a distance between the eyes, turned, in the middle of a photo."""
    z = (TEMPLATE - TEMPLATE.mean(0)) @ np.array([1, 1j])
    z *= eyes / 35.2 * np.exp(1j * np.deg2rad(turn))
    return np.stack([z.real, z.imag], -1) + size / 2


@pytest.mark.parametrize("target", [(56, 1.0), (64, 1.0), (100, 1.0), (112, 1.0), (128, 0.9)])
@pytest.mark.parametrize(("side", "eyes"), [(250, 42.0), (600, 100.0)])
def test_plain_is_what_verification_would_crop(
    target: tuple[int, float], side: int, eyes: float
) -> None:
    augmenter = Augmenter(AugmentOptions(), source=PACK, target=target)
    differences = []
    for seed in range(4):
        image, points = photo(side, seed), landmarks(side, eyes, turn=6.0 * seed - 9)
        packed = crop(image, points, size=PACK[0], scale=PACK[1])
        direct = crop(image, points, size=target[0], scale=target[1])
        plain = augmenter.plain(torch.from_numpy(packed)[None])[0].permute(1, 2, 0).numpy()
        differences.append(np.abs(plain - direct).mean())
        spread = float(direct.std())
        # Half a pixel aside is worse by far: the comparison would notice a shift.
        aside = np.abs(np.roll(plain, 1, 1)[:, 1:] - direct[:, 1:]).mean() / 2
        assert differences[-1] < 0.6 * aside
        assert spread > 20
    assert np.mean(differences) < 1.5


def drawn(size: int, scale: float) -> torch.Tensor:
    """A crop with a soft dot on each landmark, each in a channel of its own for three of them."""
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    spread = 0.02 * size
    dots = [
        np.exp(-((x - px) ** 2 + (y - py) ** 2) / 2 / spread**2)
        for px, py in positions(size=size, scale=scale)[[0, 1, 4]]
    ]
    return torch.from_numpy(np.round(255 * np.stack(dots, -1)).astype(np.uint8))[None]


def centers(image: torch.Tensor) -> NDArray[np.float64]:
    """``(3, 2)`` center of mass of every channel."""
    pixels = image.double().numpy()
    y, x = np.mgrid[: pixels.shape[1], : pixels.shape[2]]
    mass = pixels.sum((1, 2))
    return np.stack([(pixels * x).sum((1, 2)) / mass, (pixels * y).sum((1, 2)) / mass], -1)


@settings(max_examples=25, deadline=None)
@given(
    flip=st.booleans(),
    rotation=st.floats(-15, 15),
    zoom=st.floats(0.9, 1.1),
    shift=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
    target=st.sampled_from([(56, 1.0), (80, 0.9), (112, 1.0)]),
)
def test_landmarks_go_where_the_jitter_says(
    flip: bool, rotation: float, zoom: float, shift: tuple[float, float], target: tuple[int, float]
) -> None:
    resampler = Resampler(PACK, target)
    matrices = resampler.matrices(
        flip=np.array([flip]),
        rotation=np.array([rotation]),
        zoom=np.array([zoom]),
        shift=np.array([shift]),
    )
    crops = drawn(*PACK)
    ideal = positions(size=target[0], scale=target[1])
    middle = ideal.mean(0)
    turn = zoom * np.exp(1j * np.deg2rad(rotation))  # y points down: this is clockwise as seen
    z = turn * ((ideal - middle) @ np.array([1, 1j]))
    expected = (np.stack([z.real, z.imag], -1) + middle + shift)[[0, 1, 4]]
    if flip:
        expected[:, 0] = target[0] - 1 - expected[:, 0]
    for image in (
        resampler(crops, matrices)[0],
        resampler.on_device(crops.permute(0, 3, 1, 2), matrices)[0],
    ):
        np.testing.assert_allclose(centers(image), expected, atol=0.12)


@pytest.mark.parametrize("target", [(56, 1.0), (112, 1.0)])
def test_other_devices_get_the_same_pixels(target: tuple[int, float]) -> None:
    points = landmarks(250, 42.0, turn=5.0)
    crops = np.stack([crop(photo(250, s), points, size=PACK[0], scale=PACK[1]) for s in range(6)])
    rng = np.random.default_rng(0)
    resampler = Resampler(PACK, target)
    matrices = resampler.matrices(
        flip=rng.random(6) < 0.5,
        rotation=rng.normal(0, 8, 6),
        zoom=np.exp(rng.normal(0, 0.08, 6)),
        shift=rng.normal(0, 3, (6, 2)),
    )
    here = resampler(torch.from_numpy(crops), matrices)
    there = resampler.on_device(torch.from_numpy(crops).permute(0, 3, 1, 2), matrices)
    # OpenCV rounds positions to 1/32 pixel and values to whole levels.
    assert (here - there).abs().mean() < 0.6
    assert (here - there).abs().quantile(0.999) < 6


def test_an_axis_of_the_target_beyond_the_pack_is_refused() -> None:
    with pytest.raises(OptionError, match=r"--crop-scale 0\.7"):
        Resampler((144, 0.85), (160, 0.7))
    assert Resampler((144, 0.85), (160, 0.85)).reduced == 144


def test_shrinking_averages_rather_than_skips() -> None:
    board = (np.indices((144, 144)).sum(0) % 2 * 255).astype(np.uint8)
    crops = torch.from_numpy(np.repeat(board[None, :, :, None], 3, -1))
    plain = Augmenter(AugmentOptions(), source=(144, 1.0), target=(48, 1.0)).plain(crops)
    assert (plain - 127.5).abs().mean() < 20
