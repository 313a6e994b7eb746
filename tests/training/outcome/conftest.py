"""A small pack of made-up people, and a tiny network that tells them apart a little."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from visavis.embedding.backbones import build
from visavis.embedding.torch import FaceNetwork
from visavis.training.augment.options import AugmentOptions
from visavis.training.data.pack import Pack, write_pack
from visavis.training.data.split import split_people
from visavis.training.losses.options import LossOptions
from visavis.training.outcome.describing import ModelOrigin
from visavis.training.outcome.directory import Outcome, write_directory
from visavis.training.recipes.recipe import Recipe

PEOPLE, PHOTOS, SIZE = 30, 4, 40


def make_recipe(**fields: object) -> Recipe:
    values: dict[str, object] = {
        "name": "tiny",
        "source": "none",
        "expected": "nothing",
        "backbone": "small_resnet",
        "dimension": 16,
        "input_size": 32,
        "crop_scale": 1.0,
        "loss": LossOptions(kind="triplet"),
        "sampler": "people",
        "batch_size": 16,
        "augment": AugmentOptions.none(),
        "epochs": 1,
        "lr": 1e-3,
        "validation_share": 0.5,
    }
    return Recipe(**{**values, **fields})  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """Each person is a pattern of blocks; each photo of it has noise of its own."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(30, 226, (PEOPLE, 1, 8, 8, 3))
    noise = rng.normal(0, 40, (PEOPLE, PHOTOS, 8, 8, 3))
    coarse = (blocks + noise).clip(0, 255).astype(np.uint8)
    crops = coarse.repeat(SIZE // 8, axis=2).repeat(SIZE // 8, axis=3)
    people = [f"person-{k}" for k in range(PEOPLE)]
    return write_pack(
        tmp_path_factory.mktemp("pack") / "tiny.pack",
        crops.reshape(-1, SIZE, SIZE, 3),
        np.repeat(np.arange(PEOPLE), PHOTOS),
        people,
        [f"{person}/{k}.png" for person in people for k in range(PHOTOS)],
        size=SIZE,
        scale=0.9,
        origin="made-up people",
    )


@pytest.fixture(scope="session")
def network() -> FaceNetwork:
    """Random weights with the state of batch normalization away from its start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = FaceNetwork(build("small_resnet", dimension=16, input_size=32, crop_scale=1.0))
        made.train()
        for _ in range(3):
            made.raw(torch.rand(8, 3, 32, 32) * 255)
    return made.eval()


@pytest.fixture(scope="session")
def origin(pack: Pack) -> ModelOrigin:
    recipe = make_recipe()
    split = split_people(pack.labels, share=recipe.validation_share, seed=recipe.seed)
    return ModelOrigin(
        recipe,
        pack,
        split,
        name="mine",
        license="LicenseRef-Test",
        detector="some-detector",
        command="visavis train --recipe tiny",
    )


@pytest.fixture(scope="session")
def written(
    origin: ModelOrigin, network: FaceNetwork, tmp_path_factory: pytest.TempPathFactory
) -> Outcome:
    """The model directory of the run; tests only read it."""
    return write_directory(network, origin, tmp_path_factory.mktemp("run"), threads=1)
