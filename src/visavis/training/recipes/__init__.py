"""Recipes: a training run each, from one command."""

from __future__ import annotations

import difflib

from visavis.errors import OptionError
from visavis.training.recipes.built_in import RECIPES
from visavis.training.recipes.recipe import Recipe, with_overrides


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
