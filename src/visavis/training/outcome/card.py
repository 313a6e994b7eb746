"""The model card: what a model is for, what it was made of, how well it does, where it fails.

After M. Mitchell et al., "Model Cards for Model Reporting", FAT* 2019.
"""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, Any

from visavis.metrics.verification import fmr_name
from visavis.plots import pages as templates_of
from visavis.training.outcome.points import powers
from visavis.training.recipes.recipe import Recipe
from visavis.weights import ModelEntry

if TYPE_CHECKING:
    from visavis.training.outcome.directory import Outcome
    from visavis.types import OperatingPoint


def render(description: dict[str, Any], entry: ModelEntry, recipe: Recipe, outcome: Outcome) -> str:
    """The card as Markdown.

    Args:
        description: what ``model.json`` holds.
        entry: what the model is registered with.
        recipe: how it was trained.
        outcome: what was measured.
    """

    # Markdown; names are quoted as code.
    pages = templates_of("visavis.training.outcome", escape=False, keep_trailing_newline=True)
    pages.filters.update(percent=percent, span=span, fmr=fmr_name)
    return pages.get_template("model_card.md.jinja").render(
        d=description,
        data=description["data"],
        entry=entry,
        recipe=recipe,
        o=outcome,
        f=outcome.figures,
        points=shown_points(outcome.points),
    )


def shown_points(points: tuple[OperatingPoint, ...]) -> list[OperatingPoint]:
    """Powers of ten and the lowest rate, highest first."""
    wanted = powers([point.target_fmr for point in points])
    return [point for point in points if point.target_fmr in wanted]


def percent(value: float) -> str:
    """A share in percent with three digits that count.

    >>> percent(0.01234), percent(float("nan"))
    ('1.23 %', 'not known')
    """
    return "not known" if isnan(value) else f"{100 * value:.3g} %"


def span(ends: tuple[float, float]) -> str:
    """Both ends of an interval of shares.

    >>> span((0.001, 0.02))
    '0.1 to 2 %'
    """
    low, high = ends
    return "not known" if isnan(low) or isnan(high) else f"{100 * low:.3g} to {100 * high:.3g} %"
