"""Adapts recipes to small data sets."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from math import ceil
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from visavis.training.recipes.recipe import Recipe

VALIDATION_PEOPLE: Final = 15
"""Kept apart where there are so many. They make 105 pairs of people, so that however the scores
fall, the highest tenth holds ten different ones: a false match rate of 0.1 can be measured."""

LARGEST_SHARE: Final = 0.4
FEWEST_STEPS: Final = 8
"""Batches in an epoch at least."""

FEWEST_PHOTOS: Final = 3000
"""Photos that a fine-tuned network goes through at least, all epochs together."""

GENTLEST: Final = 0.3
"""Smallest factor of a fine-tuning recipe's learning rate, with fewer photos than that."""


def fit_to(
    recipe: Recipe, labels: ArrayLike, *, fixed: Set[str] = frozenset()
) -> tuple[Recipe, tuple[str, ...]]:
    """Adapt a recipe to a small set of photos; for a large set it stays as it is.

    Args:
        recipe: what to start from.
        labels: ``(N,)`` person of each photo.
        fixed: fields that the user set; they are left alone.

    Returns:
        The recipe, and a sentence for each change.
    """
    counts = np.unique(np.asarray(labels), return_counts=True)[1]
    several = int((counts > 1).sum())
    changes: dict[str, Any] = {}
    notes: list[str] = []
    share = recipe.validation_share
    if "validation_share" not in fixed and several and share * several < VALIDATION_PEOPLE:
        wanted = min(LARGEST_SHARE, ceil(1000 * VALIDATION_PEOPLE / several) / 1000)
        if wanted > share:
            share = changes["validation_share"] = wanted
            notes.append(
                f"{several} people with two photos or more: {wanted:.0%} of the people are kept "
                "for validation, so that error rates can be measured"
            )
    photos = round(len(np.asarray(labels)) * (1 - share))
    people = max(2, round(len(counts) * (1 - share)))
    batch = recipe.batch_size
    if "batch_size" not in fixed and (smaller := _batch(recipe, people, photos)) < batch:
        batch = changes["batch_size"] = smaller
        notes.append(f"batches of {batch}: about {photos} photos of {people} people to train on")
    if recipe.init and not fixed & {"epochs", "max_steps"}:
        epochs = ceil(FEWEST_PHOTOS / max(photos, 1))
        if epochs > recipe.epochs:
            changes["epochs"] = epochs
            notes.append(f"{epochs} epochs, so that the few photos are seen often enough")
    if recipe.init and "lr" not in fixed and photos < FEWEST_PHOTOS:
        rate = changes["lr"] = recipe.lr * max(GENTLEST, photos / FEWEST_PHOTOS)
        notes.append(f"a learning rate of {rate:.1g}, so that the few faces do not pull far")
    return (replace(recipe, **changes) if changes else recipe), tuple(notes)


def _batch(recipe: Recipe, people: int, photos: int) -> int:
    """The largest batch size, at most the recipe's, for several batches an epoch."""
    if recipe.sampler == "people":
        unit, most = recipe.photos_per_person, people * recipe.photos_per_person
    else:
        unit = {"pairs": 2, "triplets": 3}.get(recipe.sampler, 1)
        most = max(8, photos // FEWEST_STEPS)
    return max(2 * unit, min(recipe.batch_size, most) // unit * unit)
