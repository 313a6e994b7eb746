"""Prints recipes, plans and results of ``visavis train``."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import TYPE_CHECKING, Any

from visavis.cli import output
from visavis.cli.output import console

if TYPE_CHECKING:
    from visavis.api.records import Comparison, Figures, Outcome, Plan, Recipe


def show_recipes(recipes: Sequence[Recipe]) -> None:
    """Prints one line per recipe."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("name", "network", "loss", "expected"):
        table.add_column(title, no_wrap=title == "name")
    for one in recipes:
        table.add_row(one.name, f"{one.backbone}, {one.input_size} px", one.loss.kind, one.expected)
    console.print(table)


def show_recipe(recipe: Recipe) -> None:
    """Prints every field as given on the command line."""
    from visavis.api import runs

    console.print(f"{recipe.name}: {recipe.source}", markup=False)
    console.print(f"expected: {recipe.expected}", markup=False)
    for name, value in runs.fields(recipe).items():
        console.print(f"  --{name} {_spelled(value)}", markup=False)


def show_plan(recipe: Recipe, plan: Plan) -> None:
    """Prints the expected time and memory of a run."""
    end = f", at most {recipe.max_steps:,} steps" if recipe.max_steps else ""
    rows = {
        "recipe": f"{recipe.name}: {recipe.backbone}, {recipe.input_size} px, "
        f"{recipe.loss.kind} loss, seed {recipe.seed}",
        "data": f"{plan.photos:,} photos of {output.people(plan.people)} ({plan.singles:,} with "
        f"one photo); {plan.validation_photos:,} of {plan.validation_people:,} others for "
        "validation",
        "network": f"{plan.parameters / 1e6:.2f} M weights, {plan.head_parameters / 1e6:.2f} M "
        "of the loss",
        "device": f"{plan.device}, {plan.threads} CPU threads, precision {plan.precision}",
        "steps": f"{plan.steps:,} of {plan.batch} photos: {recipe.epochs} epochs of "
        f"{plan.steps_per_epoch:,}{end}; {plan.validations:,} validations",
        "speed": f"{plan.batch / plan.seconds_per_step:,.0f} photos/s, "
        f"{plan.share_of_peak:.0%} of the {plan.peak / 1e9:,.0f} GFLOP/s that a matrix product "
        "reaches here",
        "time": f"about {_duration(plan.seconds)}",
        "memory": f"about {plan.memory / 1e6:,.0f} MB besides the program itself",
    }
    for title, text in rows.items():
        console.print(f"{title:<8} {text}", markup=False)


def _duration(seconds: float) -> str:
    """Formats a duration.

    >>> _duration(42), _duration(400), _duration(9000)
    ('42 s', '7 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def show_outcome(outcome: Outcome) -> None:
    """Prints the results: metrics, operating points, and before and after."""
    if outcome.comparison:
        for one in outcome.comparison:
            _show_comparison(one)
    else:
        _show_figures([outcome.figures], title="validation people")
    figures = outcome.figures
    console.print(
        f"{figures.people:,} validation people: {figures.mated_pairs:,} mated, "
        f"{figures.non_mated_pairs:,} non-mated pairs; intervals 95 %, people resampled",
        style="dim",
        markup=False,
    )
    console.print(outcome.supported, markup=False)


def _show_comparison(one: Comparison) -> None:
    _show_figures([one.before, one.after], title=f"photos {one.photos_are}")


def _show_figures(columns: Sequence[Figures], *, title: str) -> None:
    from rich.table import Table

    from visavis.api.wording import fmr_name

    table = Table(title=title, title_justify="left")
    table.add_column("")
    for one in columns:
        table.add_column(one.model)
    table.add_row("AUC", *(_value(f"{f.auc:.4f}", f.auc_ci, "{:.4f}") for f in columns))
    table.add_row("EER", *(_value(_share(f.eer), f.eer_ci, "{:.2%}") for f in columns))
    for k, point in enumerate(columns[0].points):
        cells = [f.points[k] for f in columns]
        table.add_row(
            f"FNMR at FMR {fmr_name(point.target_fmr)}",
            *(_value(_share(p.fnmr), p.fnmr_ci, "{:.2%}") for p in cells),
        )
    console.print(table)


def _share(value: float) -> str:
    return "not known" if isnan(value) else f"{value:.2%}"


def _value(value: str, ends: tuple[float, float], form: str) -> str:
    if isnan(ends[0]) or isnan(ends[1]):
        return value
    return f"{value} ({form.format(ends[0])} to {form.format(ends[1])})"


def _spelled(value: Any) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value) or '""'
