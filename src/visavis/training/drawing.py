"""The recipe's sampler, and its mining of hard examples."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from visavis.errors import OptionError
from visavis.training.data.samplers import (
    Batches,
    PairBatches,
    PeopleBatches,
    ShuffledBatches,
    TripletBatches,
)
from visavis.training.mining.offline import hard_triplets, lookalike_cells
from visavis.training.recipes.recipe import Recipe
from visavis.training.seeds import derive
from visavis.types import Vectors

_CELL: Final = 8  # people who look alike and come into a batch together, at most


def build_sampler(
    recipe: Recipe, labels: NDArray[np.int64], *, rank: int = 0, world: int = 1
) -> Batches:
    """The recipe's sampler.

    Args:
        recipe: its ``sampler``, ``batch_size``, ``photos_per_person``, ``most_photos`` and ``seed``
            are used.
        labels: ``(N,)`` person of each training photo.
        rank: which share of each batch this process gets.
        world: number of processes.

    Raises:
        OptionError: a batch that the processes cannot share.
        DataError: photos that make no batch.
    """
    shared = {"seed": recipe.seed, "rank": rank, "world": world}
    if recipe.sampler == "people":
        photos = recipe.photos_per_person
        people = recipe.batch_size // photos
        return PeopleBatches(
            labels, people=people, photos=photos, most=recipe.most_photos, **shared
        )
    kinds: dict[str, type[Batches]] = {
        "pairs": PairBatches,
        "shuffled": ShuffledBatches,
        "triplets": TripletBatches,
    }
    return kinds[recipe.sampler](labels, batch_size=recipe.batch_size, **shared)


def search_every(recipe: Recipe, *, per_epoch: int) -> int | None:
    """Steps between searches for hard examples among all photos; ``None`` for no search.

    Raises:
        OptionError: the recipe asks for searches that its sampler has no use for.
    """
    field = "offline_every" if recipe.offline_every is not None else "remine_epochs"
    if recipe.offline_every is None and recipe.remine_epochs is None:
        return None
    if recipe.sampler == "shuffled" or (
        recipe.offline_every is not None and recipe.sampler != "triplets"
    ):
        raise OptionError(
            f"{field}={getattr(recipe, field)} with sampler={recipe.sampler}",
            "offline_every goes with sampler=triplets, remine_epochs with people, pairs or "
            "triplets",
        )
    return recipe.offline_every or (recipe.remine_epochs or 0) * per_epoch


def search(
    recipe: Recipe, vectors: Vectors, labels: NDArray[np.int64], *, step: int
) -> NDArray[np.int64]:
    """Mine hard examples for the recipe's sampler.

    Args:
        recipe: its sampler decides what is looked for.
        vectors: ``(N, D)`` embeddings of all training photos.
        labels: ``(N,)`` people of them.
        step: steps done.

    Returns:
        Triplets for the triplets sampler, else cells of people who look alike.
    """
    seed = derive(recipe.seed, "search", step) % 2**31
    raw = torch.from_numpy(vectors)
    if recipe.sampler == "triplets":
        return hard_triplets(raw, labels)
    together = recipe.batch_size // (recipe.photos_per_person if recipe.sampler == "people" else 2)
    return lookalike_cells(raw, labels, size=max(2, min(_CELL, together // 2)), seed=seed)
