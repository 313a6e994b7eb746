"""Prints the results of an evaluation."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

from visavis.cli.output import console

if TYPE_CHECKING:
    from rich.table import Table

    from visavis.api.records import Summary


def show(summary: Summary) -> None:
    """Prints the main metrics with their intervals."""
    from rich.table import Table

    from visavis.api.wording import fixed, number, percent, rate, span

    ends = summary.intervals
    console.print(
        f"{summary.protocol}: {summary.pairs:,} pairs ({summary.mated:,} mated, "
        f"{summary.non_mated:,} non-mated), {summary.failures:,} failed",
        markup=False,
        style="bold",
    )
    if summary.model:
        console.print(
            f"{summary.model} ({summary.model_sha256[:12]}), {summary.pipeline_id}",
            markup=False,
            style="dim",
        )
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    table.add_column("", justify="right")
    table.add_column(f"{summary.level:.0%} interval" if ends else "", style="dim")
    table.add_row(
        "accuracy",
        f"{percent(summary.accuracy)}{_spread(summary.accuracy_se)}",
        f"{len(summary.folds)} folds, ± standard error",
    )
    if summary.failures:
        table.add_row(
            "  failures as different",
            percent(summary.accuracy_failures_different)
            + _spread(summary.accuracy_failures_different_se),
        )
    table.add_row("AUC", number(summary.auc, 5), fixed(ends.get("auc"), 5))
    table.add_row("EER", rate(summary.eer), span(ends.get("eer")))
    for name, value in summary.fnmr_at_fmr.items():
        table.add_row(f"FNMR at FMR {name}", rate(value), span(ends.get(f"fnmr_at_fmr[{name}]")))
    table.add_row("Cllr (bits)", number(summary.cllr), fixed(ends.get("cllr")))
    table.add_row("  at best", number(summary.min_cllr), fixed(ends.get("min_cllr")))
    console.print(table)
    if summary.operating_points:
        _show_points(summary)
    if summary.groups:
        _show_groups(summary)
    for reason, pairs in summary.failure_reasons.items():
        console.print(f"failed: {pairs:,} pairs, {reason}", markup=False, style="yellow")
    for note in summary.about.notes:
        console.print(f"note: {note}", markup=False, style="dim")


def _show_points(summary: Summary) -> None:
    from visavis.api.wording import fmr_name, number, rate, span

    table = _table(
        f"shipped thresholds ({summary.calibration})",
        ("asked for", "threshold", "FMR here", "", "FNMR here", ""),
    )
    colors = {"holds": "green", "within chance": "yellow", "exceeded": "red"}
    for p in summary.operating_points:
        table.add_row(
            f"FMR {fmr_name(p.target_fmr)}",
            number(p.threshold),
            rate(p.fmr),
            span(p.fmr_ci),
            rate(p.fnmr),
            f"[{colors.get(p.verdict, 'dim')}]{p.verdict}[/]",
        )
    console.print(table)


def _show_groups(summary: Summary) -> None:
    from rich.markup import escape

    from visavis.api.wording import number, rate

    table = _table(
        f"groups at threshold {number(summary.group_threshold)}",
        ("group", "pairs", "failed", "FMR", "FNMR", "EER"),
    )
    for g in summary.groups:
        table.add_row(
            escape(g.group), f"{g.pairs:,}", f"{g.failures:,}", rate(g.fmr), rate(g.fnmr),
            rate(g.eer),
        )  # fmt: skip
    console.print(table)


def _table(title: str, columns: tuple[str, ...]) -> Table:
    from rich.table import Table

    table = Table(
        box=None, pad_edge=False, header_style="dim", title=title, title_justify="left",
        title_style="bold",
    )  # fmt: skip
    for k, column in enumerate(columns):
        table.add_column(column, no_wrap=True, justify="right" if 0 < k < 5 else "left")
    return table


def _spread(standard_error: float) -> str:
    return "" if isnan(standard_error) else f" ± {100 * standard_error:.2f}"
