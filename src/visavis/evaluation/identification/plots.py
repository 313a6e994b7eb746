"""Plots of an identification report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from visavis import plots
from visavis.evaluation import svg
from visavis.evaluation.identification.records import Identification
from visavis.metrics.verification import fmr_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def match_characteristic(result: Identification) -> str:
    """Plots the cumulative match characteristic."""
    figure, panel = plots.axes()
    places = np.arange(1, len(result.cmc) + 1)
    panel.plot(places, result.cmc, color=plots.MATED, linewidth=1.6, marker="o", markersize=3.2)
    # Too few people have no interval.
    low, high = np.where(np.isfinite(result.rank1_ci), result.rank1_ci, result.rank1)
    panel.vlines(1, low, high, color=plots.MATED, linewidth=1, alpha=0.55)
    panel.set_xlim(0.5, len(places) + 0.5)
    panel.set_xticks([1, 5, 10, 15, 20])
    room = max(1 - min(low, result.cmc[0]), 0.004)
    panel.set_ylim(max(0.0, 1 - 1.25 * room), 1 + 0.04 * room)
    panel.set_xlabel("rank")
    panel.set_ylabel("own person among the best so many")
    panel.yaxis.set_major_formatter(plots.percent)
    return svg.render(
        figure,
        name="cmc",
        title="Cumulative match characteristic",
        description=f"Rank 1: {result.rank1:.4f}; rank {len(places)}: {result.cmc[-1]:.4f}.",
    )


def overview(result: Identification) -> Figure:
    """Plots FNIR over FPIR, and score histograms."""
    figure, panels = plots.side_by_side(2)
    _trade_off(panels[0], result)
    _histogram(panels[1], result)
    return figure


def trade_off(result: Identification) -> str:
    """Plots FNIR over FPIR on logarithmic axes, with the stated operating points."""
    figure, panel = plots.axes()
    _trade_off(panel, result)
    rates = "; ".join(f"{o.fnir:.4f} at FPIR {fmr_name(o.fpir)}" for o in result.open_set)
    return svg.render(
        figure,
        name="det",
        title="FNIR over FPIR",
        description=f"Enrolled people missed over strangers named: {rates}.",
    )


def _trade_off(panel: Axes, result: Identification) -> None:
    x = np.array(result.curves.fpir)
    floor = 0.5 / max(result.mated, 1.0)
    mean, low, high = (
        np.maximum(values, floor)
        for values in (result.curves.fnir, result.curves.fnir_low, result.curves.fnir_high)
    )
    panel.fill_between(
        x, low, high, color=plots.MATED, alpha=0.16, linewidth=0, label="enrollments"
    )
    panel.plot(x, mean, color=plots.MATED, linewidth=1.6, label="their mean")
    for point in result.stated:
        if not np.isfinite(point.measured):
            continue
        at, missed = max(point.measured, x.min()), max(point.fnir, floor)
        panel.plot([point.stated, at], [missed, missed], color=plots.ACCENT, linewidth=1)
        panel.plot(at, missed, "o", color=plots.ACCENT, markersize=5)
        panel.plot(point.stated, missed, "|", color=plots.ACCENT, markersize=9)
        plots.note(panel, f"{fmr_name(point.stated)} stated", at, missed * 1.2, color=plots.ACCENT)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xlim(x.min(), x.max())
    panel.set_ylim(0.8 * max(min(low.min(), mean.min()), floor), min(1.0, 1.3 * high.max()))
    panel.set_xlabel("strangers named (FPIR)")
    panel.set_ylabel("enrolled people missed (FNIR)")
    panel.xaxis.set_major_formatter(plots.percent)
    panel.yaxis.set_major_formatter(plots.percent)
    plots.legend(panel, loc="upper right")


def histogram(result: Identification) -> str:
    """Plots scores of mated probes with their own person, and the highest scores of non-mated
    probes."""
    figure, panel = plots.axes()
    _histogram(panel, result)
    return svg.render(
        figure,
        name="histogram",
        title="Score histogram",
        description="Scores of enrolled people with themselves and the highest scores of "
        "strangers.",
    )


def _histogram(panel: Axes, result: Identification) -> None:
    edges = np.array(result.curves.edges)
    shown = np.flatnonzero(np.array(result.curves.mated) + np.array(result.curves.non_mated))
    for values, color, label in (
        (result.curves.non_mated, plots.NON_MATED, "strangers, with the closest person"),
        (result.curves.mated, plots.MATED, "enrolled, with themselves"),
    ):
        panel.stairs(values, edges, fill=True, color=color, alpha=0.28)
        panel.stairs(values, edges, color=color, linewidth=1.3, label=label)
    top = 1.25 * max(*result.curves.mated, *result.curves.non_mated)
    panel.set_ylim(0, top)
    if len(shown):
        panel.set_xlim(edges[shown[0]] - 0.02, edges[shown[-1] + 1] + 0.02)
    lines = [(p.stated, p.threshold) for p in result.stated if np.isfinite(p.threshold)] or [
        (o.fpir, o.threshold) for o in result.open_set if np.isfinite(o.threshold)
    ]
    for k, (rate, threshold) in enumerate(lines[:4]):
        panel.axvline(threshold, ymax=0.8, color=plots.INK, linewidth=0.8, linestyle=(0, (3, 2)))
        plots.note(
            panel,
            f" FPIR {fmr_name(rate)}",
            threshold,
            top * (0.80 - 0.06 * k),
            color=plots.INK,
            va="top",
        )
    panel.set_xlabel("score (cosine similarity, fused)")
    panel.set_ylabel("share of the probes of a kind")
    panel.yaxis.set_major_formatter(plots.percent)
    plots.legend(panel, loc="upper left")
