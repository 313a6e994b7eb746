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
    """All recipes, with every field."""
    from visavis.training.recipes import RECIPES

    return tuple(RECIPES.values())


def recipe(name: str, /) -> Recipe:
    """One recipe.

    Raises:
        OptionError: there is none of that name; it lists them.
    """
    from visavis.training.recipes import by_name

    return by_name(name)


def fields(recipe: Recipe, /) -> dict[str, Any]:
    """The fields of a recipe with their values, as ``train(fields=...)`` takes them."""
    from visavis.training.recipes.recipe import field_kinds

    found = {}
    for name in field_kinds(recipe):
        part, dot, field = name.partition(".")
        found[name] = getattr(getattr(recipe, part), field) if dot else getattr(recipe, name)
    return found


def report(run: Place, /, *, out: Place | None = None) -> ReportFiles:
    """Draw how a run went: one page that opens offline, and each picture as SVG and PNG.

    Args:
        run: folder of a run, finished or not.
        out: folder for page and pictures; ``report`` in the run's when ``None``.

    Raises:
        DataError: it is no run's folder, or ``out`` cannot be written.
        MissingExtraError: the extra ``train``, which brings ``report``, is not installed.
    """
    _require_drawing()
    from visavis.training.report import write

    return write(Path(run), Path(out) if out is not None else Path(run) / "report")


def compare(runs: Sequence[Place], /, *, out: Place = ".") -> tuple[Path, ...]:
    """Draw several runs in one picture; the files written, ``comparison.svg`` and ``.png``.

    Raises:
        DataError: one is no run's folder, or ``out`` cannot be written.
        MissingExtraError: as ``report``.
    """
    _require_drawing()
    from visavis.training.report.comparing import compare as draw

    return tuple(draw([Path(run) for run in runs], Path(out)))


def _require_drawing() -> None:
    for module in ("torch", "matplotlib"):
        require_extra("train", "drawing a training run", module=module)


def forget(run: Place, /) -> tuple[str, ...]:
    """Erase faces and templates of a run, and say what is gone; the model directory stays.

    Raises:
        DataError: it is no run's folder, or something cannot be removed.
    """
    from visavis.training.forgetting import forget as erase

    return tuple(erase(Path(run)))
