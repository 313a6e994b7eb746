"""Training runs and recipes: ``visavis.runs.report("runs/mine")`` and so on."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visavis.api.training import plan
from visavis.errors import require_extra

if TYPE_CHECKING:
    from visavis.training.recipes import Recipe
    from visavis.training.report.page import ReportFiles

__all__ = ["compare", "fields", "forget", "plan", "recipe", "recipes", "report"]

Place = str | PathLike[str]


def recipes() -> tuple[Recipe, ...]:
    """Returns all recipes, with all fields."""
    from visavis.training.recipes import RECIPES

    return tuple(RECIPES.values())


def recipe(name: str, /) -> Recipe:
    """Returns one recipe.

    Raises:
        OptionError: unknown name; lists the known ones.
    """
    from visavis.training.recipes import by_name

    return by_name(name)


def fields(recipe: Recipe, /) -> dict[str, Any]:
    """Returns the fields of a recipe with their values, for ``train(fields=...)``."""
    from visavis.training.recipes.recipe import field_kinds

    found = {}
    for name in field_kinds(recipe):
        part, dot, field = name.partition(".")
        found[name] = getattr(getattr(recipe, part), field) if dot else getattr(recipe, name)
    return found


def report(run: Place, /, *, out: Place | None = None) -> ReportFiles:
    """Plots a run: one self-contained page, and each plot as SVG and PNG.

    Args:
        run: folder of a run, finished or not.
        out: folder for page and plots; ``None``: ``report`` in the run's folder.

    Raises:
        DataError: not a run's folder, or ``out`` cannot be written.
        MissingExtraError: the extra ``train``, which brings ``report``, is not installed.
    """
    _require_drawing()
    from visavis.training.report import write

    return write(Path(run), Path(out) if out is not None else Path(run) / "report")


def compare(runs: Sequence[Place], /, *, out: Place = ".") -> tuple[Path, ...]:
    """Plots several runs together; returns the files ``comparison.svg`` and ``.png``.

    Raises:
        DataError: one is not a run's folder, or ``out`` cannot be written.
        MissingExtraError: see ``report``.
    """
    _require_drawing()
    from visavis.training.report.comparing import compare as draw

    return tuple(draw([Path(run) for run in runs], Path(out)))


def _require_drawing() -> None:
    for module in ("torch", "matplotlib"):
        require_extra("train", "drawing a training run", module=module)


def forget(run: Place, /) -> tuple[str, ...]:
    """Erases the faces and templates of a run; the model directory stays. Returns what was erased.

    Raises:
        DataError: not a run's folder, or a file cannot be removed.
    """
    from visavis.training.forgetting import forget as erase

    return tuple(erase(Path(run)))
