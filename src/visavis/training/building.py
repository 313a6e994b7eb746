"""The network that a recipe starts from: its weights, what of it stays frozen, and blending."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from visavis.embedding import backbones
from visavis.embedding.backbones.sface import SFace, pretrained
from visavis.embedding.torch import FaceNetwork
from visavis.errors import OptionError, TrainingError
from visavis.training.losses import build_loss
from visavis.training.recipes.recipe import Recipe
from visavis.training.seeds import derive, seeded
from visavis.weights.model_directory import INSIDE_RUN, WEIGHTS


def build_network(recipe: Recipe) -> FaceNetwork:
    """The recipe's network with its first weights, a function of the recipe alone.

    Raises:
        OptionError: an unknown backbone, or options that it does not take.
        TrainingError: ``init`` has weights for another network.
        ModelError: ``init`` is neither a model directory nor a registered model that can be had.
    """
    with seeded(derive(recipe.seed, "weights")):
        if from_registered(recipe) and not is_narrower(recipe):
            network = FaceNetwork(registered_network(recipe), flip=recipe.flip_embedding)
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
            if recipe.init and not from_registered(recipe):
                load_weights(network, _file(recipe.init))
    freeze(network, recipe.frozen)
    if recipe.channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def from_registered(recipe: Recipe) -> bool:
    """Whether the recipe begins with a registered model, and not with a model directory."""
    return bool(recipe.init) and not _file(recipe.init).is_file()


def is_narrower(recipe: Recipe) -> bool:
    """Whether the recipe's network inherits part of a registered model's weights.

    ``build_network`` gives it random ones, as what it inherits is fitted on the run's crops.
    """
    return from_registered(recipe) and recipe.backbone == "edge_mobilenet"


def registered_network(recipe: Recipe) -> SFace:
    """The registered model that the recipe begins with.

    Raises:
        TrainingError: it is for another network, dimension or input size.
        ModelError: it cannot be had.
    """
    fitting = recipe.backbone in {"sface", "edge_mobilenet"}
    if not fitting or recipe.dimension != 128 or recipe.input_size != 112:
        raise TrainingError(
            f"init {recipe.init!r} for backbone {recipe.backbone}, {recipe.dimension} numbers at "
            f"{recipe.input_size} pixels",
            "registered models are for backbones sface and edge_mobilenet, 128 numbers at 112 "
            "pixels; give a model directory for other networks",
        )
    return pretrained(recipe.init, dropout=recipe.dropout, crop_scale=recipe.crop_scale)


def build_head(recipe: Recipe, *, people: int) -> nn.Module:
    """The recipe's loss, its first weights and draws following the run's seed too."""
    seed = derive(recipe.seed, "loss", recipe.loss.seed) % 2**31
    options = dataclasses.replace(recipe.loss, seed=seed)
    return build_loss(options, people=people, dimension=recipe.dimension)


def load_weights(network: nn.Module, path: Path) -> None:
    """Load weights from a safetensors file.

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


_NORMS: Final = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def freeze(network: nn.Module, convolutions: int) -> None:
    """Freeze the first layers of a network.

    It saves more than their updates: nothing is carried back to them, and what lies before the
    first weight that learns need not be kept for the backward pass.

    Args:
        network: its modules stand in the order in which it uses them.
        convolutions: so many of its first convolutions stay as they are, with everything up to
            the next one.

    Raises:
        OptionError: the network has no more convolutions than that.
    """
    for leaf in _first(network, convolutions):
        leaf.requires_grad_(False)


def train_mode(network: nn.Module, *, convolutions: int, norms: bool) -> None:
    """``network.train()``, except that some batch normalization stays in evaluation mode.

    In evaluation mode it normalizes with the running statistics that it has, and keeps them.

    Args:
        network: as for ``freeze``.
        convolutions: what ``freeze`` was given: normalization among what is frozen stays.
        norms: all of it stays. Scales and shifts learn nevertheless.
    """
    network.train()
    for module in network.modules() if norms else _first(network, convolutions):
        if isinstance(module, _NORMS):
            module.eval()


def _first(network: nn.Module, convolutions: int) -> list[nn.Module]:
    """The modules before convolution number ``convolutions + 1``."""
    leaves = [module for module in network.modules() if next(module.children(), None) is None]
    starts = [k for k, leaf in enumerate(leaves) if isinstance(leaf, nn.Conv2d)]
    if convolutions and convolutions >= len(starts):
        raise OptionError(
            f"frozen {convolutions} of a network with {len(starts)} convolutions",
            f"give less than {len(starts)}",
        )
    return leaves[: starts[convolutions]] if convolutions else []


def blend(network: nn.Module, first: nn.Module, share: float) -> None:
    """Move a network's weights back toward its first ones, in place.

    What was learned on little data is surer in its direction than in its length: part of the way
    often knows the new faces better than all of it, and forgets less of the others. M. Wortsman et
    al., "Robust fine-tuning of zero-shot models", CVPR 2022 (arXiv:2109.01903).

    Args:
        network: what was learned.
        first: the same network with the weights that it began with.
        share: of the way from `first` to `network` that is gone, in (0, 1]; 1 changes nothing.

    Raises:
        OptionError: networks of other weights, or a share outside its range.

    >>> learnt, first = nn.Linear(1, 1), nn.Linear(1, 1)
    >>> _ = nn.init.constant_(learnt.weight, 3), nn.init.constant_(first.weight, 1)
    >>> blend(learnt, first, 0.75)
    >>> learnt.weight.item()
    2.5
    """
    if not 0 < share <= 1:
        raise OptionError(f"blend {share}", "give a number above 0 and up to 1")
    begun, came_to = first.state_dict(), network.state_dict()
    shapes = [{k: v.shape for k, v in one.items()} for one in (begun, came_to)]
    if shapes[0] != shapes[1]:
        raise OptionError(
            "two networks with different weights", "blend a network with its own initial weights"
        )
    with torch.no_grad():
        for name, value in came_to.items():
            if value.is_floating_point():
                # lerp gives exactly `first` at 0 and the learned value at 1.
                value.copy_(torch.lerp(begun[name].to(value), value, share))
