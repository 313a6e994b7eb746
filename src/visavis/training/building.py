"""The network that a recipe starts from."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from visavis.embedding import backbones
from visavis.embedding.torch import FaceNetwork
from visavis.errors import TrainingError
from visavis.training.loop import freezing
from visavis.training.loop.seeds import derive, seeded
from visavis.training.losses import build_loss
from visavis.training.recipes.recipe import Recipe
from visavis.weights.model_directory import INSIDE_RUN, WEIGHTS


def build_network(recipe: Recipe) -> FaceNetwork:
    """The recipe's network with its first weights, a function of the recipe alone.

    Raises:
        OptionError: an unknown backbone, or options that it does not take.
        TrainingError: ``init`` has weights for another network.
        ModelError: ``init`` is neither a model directory nor a registered model that can be had.
    """
    with seeded(derive(recipe.seed, "weights")):
        if recipe.init and not _file(recipe.init).is_file():
            network = FaceNetwork(_registered(recipe), flip=recipe.flip_embedding)
        else:
            backbone = backbones.build(
                recipe.backbone,
                dimension=recipe.dimension,
                input_size=recipe.input_size,
                crop_scale=recipe.crop_scale,
                dropout=recipe.dropout,
                width=recipe.width,
                head=recipe.head,
            )
            network = FaceNetwork(backbone, flip=recipe.flip_embedding)
            if recipe.init:
                load_weights(network, _file(recipe.init))
    freezing.freeze(network, recipe.frozen)
    if recipe.channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def build_head(recipe: Recipe, *, people: int) -> nn.Module:
    """The recipe's loss, its first weights and draws following the run's seed too."""
    seed = derive(recipe.seed, "loss", recipe.loss.seed) % 2**31
    options = dataclasses.replace(recipe.loss, seed=seed)
    return build_loss(options, people=people, dimension=recipe.dimension)


def load_weights(network: nn.Module, path: Path) -> None:
    """Take the weights of a safetensors file.

    Raises:
        TrainingError: it cannot be read, or is of another network.
    """
    try:
        network.load_state_dict(load_file(path))
    except (OSError, RuntimeError, SafetensorError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(
            f"{path} does not hold this network's weights ({first})",
            "start from a model of the same backbone, dimension and input size",
        ) from error


def _file(init: str) -> Path:
    folder = Path(init)
    inside = folder / INSIDE_RUN / WEIGHTS
    return inside if inside.is_file() else folder / WEIGHTS


def _registered(recipe: Recipe) -> backbones.Backbone:
    from visavis.embedding.backbones.sface import pretrained

    if recipe.backbone != "sface" or recipe.dimension != 128 or recipe.input_size != 112:
        raise TrainingError(
            f"init {recipe.init!r} for backbone {recipe.backbone}, {recipe.dimension} numbers at "
            f"{recipe.input_size} pixels",
            "registered models are for backbone sface, 128 numbers at 112 pixels; give a model "
            "directory for other networks",
        )
    return pretrained(recipe.init, dropout=recipe.dropout, crop_scale=recipe.crop_scale)
