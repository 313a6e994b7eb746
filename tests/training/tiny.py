"""A tiny network, pack and recipe, for tests that train."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from visavis.embedding import backbones
from visavis.embedding.backbones.spec import Backbone, Spec
from visavis.training.augment.options import AugmentOptions
from visavis.training.data.pack import Pack, write_pack
from visavis.training.losses import LossOptions
from visavis.training.recipes.recipe import Recipe


class Tiny(Backbone):
    """Two convolutions; batch normalization or none."""

    def __init__(
        self,
        *,
        dimension: int = 8,
        input_size: int = 16,
        crop_scale: float = 0.9,
        dropout: float = 0.0,
        normalized: bool = True,
    ) -> None:
        super().__init__()
        self.spec = Spec("tiny", input_size, 3, crop_scale, dimension, 127.5, 128.0, "a test")
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False),
            nn.BatchNorm2d(8) if normalized else nn.Identity(),
            nn.PReLU(8),
            nn.Conv2d(8, 16, 3, 2, 1),
            nn.PReLU(16),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(16 * (input_size // 4) ** 2, dimension),
        )

    def forward(self, x: Tensor) -> Tensor:
        embeddings: Tensor = self.body(x)
        return embeddings


class Bare(Tiny):
    """Without batch normalization: each image is embedded on its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(normalized=False, **options)


def register() -> None:
    """Make ``tiny`` and ``bare`` known to ``backbones.build``."""
    backbones._MAKERS.update({"tiny": Tiny, "bare": Bare})


def make_pack(path: Path, *, people: int = 12, photos: int = 5, noise: float = 25.0) -> Pack:
    """People are random patterns, photos are those with noise; the last person has one photo."""
    rng = np.random.default_rng(7)
    crops, labels, names = [], [], []
    for person in range(people):
        coarse = rng.uniform(0, 255, (5, 5, 3))
        face = np.kron(coarse, np.ones((4, 4, 1)))
        for photo in range(1 if person == people - 1 else photos):
            noisy = face + rng.normal(0, noise, face.shape)
            crops.append(np.clip(noisy, 0, 255).astype(np.uint8))
            labels.append(person)
            names.append(f"P{person:02d}/{photo}.jpg")
    return write_pack(
        path,
        crops,
        labels,
        [f"P{person:02d}" for person in range(people)],
        names,
        size=20,
        scale=0.85,
        origin="patterns",
    )


BASE = Recipe(
    name="tiny",
    source="a test",
    expected="nothing",
    backbone="tiny",
    dimension=8,
    input_size=16,
    crop_scale=0.9,
    dropout=0.2,
    loss=LossOptions(kind="triplet", miner="semihard"),
    sampler="people",
    batch_size=12,
    photos_per_person=3,
    augment=AugmentOptions(flip=0.5, rotation=3.0, color=0.1),
    epochs=5,
    lr=3e-3,
    clip=1.0,
    ema=0.9,
    validation_share=0.25,
    threads=1,
)


def recipe(**changes: Any) -> Recipe:
    """``BASE`` with some fields changed."""
    return dataclasses.replace(BASE, **changes)


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    """Whether two networks have the same bits."""
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)
