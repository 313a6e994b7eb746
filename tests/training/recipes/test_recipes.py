"""Every recipe names parts that are there and fit together."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from visavis.embedding.backbones import NAMES
from visavis.training.augment.augmenter import Augmenter
from visavis.training.building import build_head
from visavis.training.data.pack import SCALE, SIZE
from visavis.training.drawing import build_sampler
from visavis.training.recipes import RECIPES, Recipe


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_parts_fit_together(recipe: Recipe) -> None:
    assert recipe.backbone in NAMES
    # Usual packs show enough around the face for it.
    Augmenter(recipe.augment, source=(SIZE, SCALE), target=(recipe.input_size, recipe.crop_scale))
    labels = np.repeat(np.arange(300), 4)
    sampler = build_sampler(recipe, labels)
    batch = next(iter(sampler.batches(0)))
    assert 0 < len(batch) <= recipe.batch_size
    head = build_head(recipe, people=300)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        raw = torch.randn(len(batch), recipe.dimension, requires_grad=True)
    loss = head(raw, torch.from_numpy(labels[batch])).loss
    assert torch.isfinite(loss)
    loss.backward()
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()
    if recipe.loss.kind == "none":
        assert recipe.distil > 0  # its only loss; see test_distilling
    else:
        assert raw.grad.abs().sum() > 0
