"""Augmentation as a whole: shapes, ranges, randomness from the seed alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from visavis.errors import OptionError
from visavis.training.augment import AugmentOptions
from visavis.training.augment.augmenter import Augmenter

GEOMETRY = {"source": (72, 0.85), "target": (32, 1.0)}
CROPS = torch.from_numpy(
    np.random.default_rng(0)
    .integers(0, 256, (12, 9, 9, 3), dtype=np.uint8)
    .repeat(8, 1)
    .repeat(8, 2)
)
EVERYTHING = AugmentOptions(
    flip=0.5,
    rotation=6.0,
    zoom=0.06,
    shift=0.03,
    color=0.3,
    gray=0.2,
    erase=0.5,
)
TREATMENTS = [field.name for field in dataclasses.fields(AugmentOptions)]


def augmenter(options: AugmentOptions) -> Augmenter:
    return Augmenter(options, source=GEOMETRY["source"], target=GEOMETRY["target"])


def only(name: str, value: float = 0.9) -> AugmentOptions:
    strongest = {"rotation": 10.0, "zoom": 0.1, "shift": 0.1, "color": 0.5}
    return AugmentOptions(**{"flip": 0.0, name: strongest.get(name, value)})


def test_everything_at_once_has_the_promised_form() -> None:
    before = CROPS.clone()
    images = augmenter(EVERYTHING)(CROPS, seed=3)
    assert images.shape == (12, 3, 32, 32)
    assert images.dtype == torch.float32
    assert images.min() >= 0
    assert images.max() <= 255
    assert torch.equal(CROPS, before)


def test_the_seed_decides_and_nothing_else() -> None:
    made = augmenter(EVERYTHING)
    first = made(CROPS, seed=7)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 - the point is that it has no effect
    state = torch.get_rng_state()
    assert torch.equal(first, made(CROPS, seed=7))
    assert torch.equal(first, augmenter(EVERYTHING)(CROPS, seed=7))
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(first, made(CROPS, seed=8))


def test_no_options_is_plain() -> None:
    made = augmenter(AugmentOptions.none())
    assert torch.equal(made(CROPS, seed=5), made.plain(CROPS))


@pytest.mark.parametrize("name", TREATMENTS)
def test_each_treatment_does_something_by_itself(name: str) -> None:
    made = augmenter(only(name))
    changed = (made(CROPS, seed=1) - made.plain(CROPS)).abs().amax((1, 2, 3)) > 4
    assert changed.sum() >= 8


@pytest.mark.parametrize(
    "name", ["flip", "gray", "blur", "jpeg", "low_resolution", "erase", "mask"]
)
def test_a_share_is_a_share(name: str) -> None:
    made = augmenter(only(name, 0.3))
    plain = made.plain(CROPS)
    changed = [
        ((made(CROPS, seed=seed) - plain).abs().amax((1, 2, 3)) > 0.01).float().mean()
        for seed in range(40)
    ]
    # 480 draws: four standard deviations are 0.084.
    assert abs(float(np.mean(changed)) - 0.3) < 0.084


def test_one_treatment_leaves_the_draws_of_the_others() -> None:
    moved = augmenter(AugmentOptions(rotation=8.0))(CROPS, seed=2)
    erased = augmenter(AugmentOptions(rotation=8.0, erase=0.5))(CROPS, seed=2)
    whole = (moved - erased).abs().amax((1, 2, 3)) == 0
    assert 0 < whole.sum() < 12


def test_gray_has_equal_channels_of_the_luma() -> None:
    made = augmenter(AugmentOptions(flip=0.0, gray=1.0))
    images, plain = made(CROPS, seed=0), made.plain(CROPS)
    luma = 0.299 * plain[:, 0] + 0.587 * plain[:, 1] + 0.114 * plain[:, 2]
    for channel in range(3):
        torch.testing.assert_close(images[:, channel], luma, atol=1e-3, rtol=0)


def test_color_keeps_edges_where_they_are() -> None:
    made = augmenter(AugmentOptions(flip=0.0, color=0.2))
    images, plain = made(CROPS, seed=0), made.plain(CROPS)
    for one, other in zip(images.flatten(1), plain.flatten(1), strict=True):
        assert np.corrcoef(one, other)[0, 1] > 0.93
    ratio = images.mean((1, 2, 3)) / plain.mean((1, 2, 3))
    assert ratio.min() > 0.7
    assert ratio.max() < 1.3
    assert ratio.std() > 0.03


@pytest.mark.parametrize(
    ("crops", "got"),
    [
        (CROPS.float(), "float32"),
        (CROPS[:, :40], "40"),
        (CROPS.permute(0, 3, 1, 2), "3, 72, 72"),
    ],
)
def test_other_crops_are_refused(crops: torch.Tensor, got: str) -> None:
    with pytest.raises(OptionError, match=got):
        augmenter(EVERYTHING)(crops, seed=0)


def test_bad_options_and_seeds_are_refused() -> None:
    with pytest.raises(OptionError, match=r"erase 1\.5"):
        AugmentOptions(erase=1.5)
    with pytest.raises(OptionError, match="rotation nan"):
        AugmentOptions(rotation=float("nan"))
    with pytest.raises(OptionError, match="seed -1"):
        augmenter(EVERYTHING)(CROPS, seed=-1)


def test_no_crops_at_all() -> None:
    assert augmenter(EVERYTHING)(CROPS[:0], seed=0).shape == (0, 3, 32, 32)
