"""Color changes: on the processor and on a device alike, and as defined."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from visavis.training.augment import camera

LUMA = np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("way", [camera._on_processor, camera._on_device])
def test_both_ways_turn_every_pixel_as_a_loop_does(
    monkeypatch: pytest.MonkeyPatch, way: object, layout: torch.memory_format
) -> None:
    monkeypatch.setattr(camera, "_on_processor", way)
    drawn = np.random.default_rng(1).uniform(0, 255, (5, 3, 6, 7)).astype(np.float32)
    images = torch.from_numpy(drawn).contiguous(memory_format=layout)
    after = camera.change_color(images, strength=0.3, gray=0.4, rng=np.random.default_rng(9))
    np.testing.assert_array_equal(images.numpy(), drawn)

    rng = np.random.default_rng(9)
    brightness, contrast, saturation = 1 + 0.3 * rng.uniform(-1, 1, (3, 5))
    balance = 1 + 0.075 * rng.uniform(-1, 1, (5, 3))
    colorless = rng.random(5) < 0.4
    assert 0 < colorless.sum() < 5
    for k, image in enumerate(drawn.astype(float)):
        strength = 0.0 if colorless[k] else saturation[k]
        factors = np.ones(3) if colorless[k] else balance[k]
        light = LUMA @ image.mean((1, 2))
        for y in range(6):
            for x in range(7):
                pixel = image[:, y, x]
                pixel = strength * pixel + (1 - strength) * (LUMA @ pixel)
                pixel = pixel * factors * contrast[k] + (1 - contrast[k]) * light
                expected = np.clip(pixel * brightness[k], 0, 255)
                assert after[k, :, y, x].numpy() == pytest.approx(expected, abs=2e-3)
