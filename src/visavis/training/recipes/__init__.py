"""Recipes: a training run each, from one command."""

from __future__ import annotations

import difflib
from types import MappingProxyType
from typing import Final

from visavis.errors import OptionError
from visavis.training.recipes.built_in import (
    FACENET_INCEPTION_RESNET,
    FACENET_MOBILENET,
    FINETUNE_SFACE,
    MARGIN_IRESNET50,
    MARGIN_SMALL,
    SIAMESE_CONTRASTIVE,
    SIAMESE_TRIPLET,
)
from visavis.training.recipes.overrides import with_overrides
from visavis.training.recipes.recipe import Recipe

RECIPES: Final = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            SIAMESE_CONTRASTIVE,
            SIAMESE_TRIPLET,
            FACENET_MOBILENET,
            FACENET_INCEPTION_RESNET,
            MARGIN_SMALL,
            MARGIN_IRESNET50,
            FINETUNE_SFACE,
        )
    }
)
"""All recipes by name, the simplest first."""


def by_name(name: str) -> Recipe:
    """The recipe of that name; ``_`` may stand for ``-``.

    Raises:
        OptionError: there is none; similar names are suggested.

    >>> by_name("siamese-triplet").loss.margin
    0.2
    """
    known = str(name).lower().replace("_", "-")
    if known in RECIPES:
        return RECIPES[known]
    close = difflib.get_close_matches(known, list(RECIPES), n=3, cutoff=0.4)
    raise OptionError(
        f"no recipe is called {name!r}", f"choose one of {', '.join(close or RECIPES)}"
    )


__all__ = ["RECIPES", "Recipe", "by_name", "with_overrides"]
