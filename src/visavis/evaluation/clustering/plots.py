"""Plots of a clustering report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from visavis import plots
from visavis.evaluation import svg
from visavis.evaluation.clustering.records import ClusteringRow, ClusteringSummary
from visavis.metrics.clustering import ClusteringScores, PrecisionRecall

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TICKS: Final = (0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
_BETWEEN: Final = (0.2, 0.8, 0.95, 0.98, 0.995, 0.998, 0.9995, 0.9998)


def overview(summary: ClusteringSummary) -> Figure:
    """Plots B-cubed metrics by setting (if several were tried), and cluster sizes."""
    rows = _settings(summary)
    figure, panels = plots.side_by_side(1 if len(rows) < 2 else 2)
    if len(rows) >= 2:
        _over_settings(panels[0], summary, rows, "bcubed")
    _cluster_sizes(panels[-1], summary)
    return figure


def over_settings(summary: ClusteringSummary, metric: str) -> str:
    """Plots precision, recall and F1 by setting; "" for one setting.

    Args:
        summary: the evaluation.
        metric: ``pairwise`` or ``bcubed``.
    """
    rows = _settings(summary)
    if len(rows) < 2:
        return ""
    figure, panel = plots.axes()
    middle = _over_settings(panel, summary, rows, metric)
    name = "B-cubed" if metric == "bcubed" else "Pairwise"
    return svg.render(
        figure,
        name=f"{metric}-over-settings",
        title=f"{name} precision, recall and F1 over the setting",
        description=f"At the requested setting: precision {middle.precision:.4f}, recall "
        f"{middle.recall:.4f}, F1 {middle.f1:.4f}.",
    )


def _settings(summary: ClusteringSummary) -> list[ClusteringRow]:
    """The settings, without that of plain templates."""
    return [row for row in summary.rows if not row.plain]


def _over_settings(
    panel: Axes, summary: ClusteringSummary, rows: Sequence[ClusteringRow], metric: str
) -> PrecisionRecall:
    """Draws the curves and marks the requested setting."""
    x = [row.false_merge or 0.0 for row in rows]
    of = _bcubed if metric == "bcubed" else _pairwise
    values = [of(row.scores) for row in rows]
    everything = [part for v in values for part in (v.precision, v.recall, v.f1)]
    edge = _edge(everything)
    for label, color, y in (
        ("precision", plots.NON_MATED, [v.precision for v in values]),
        ("recall", plots.MATED, [v.recall for v in values]),
        ("F1", plots.ACCENT, [v.f1 for v in values]),
    ):
        panel.plot(
            x, _inside(y, edge), "o-", color=color, linewidth=1.5, markersize=3.5,
            label=label,
        )  # fmt: skip
    panel.axvline(
        summary.asked.false_merge or 0.0, color=plots.INK, linewidth=0.8, linestyle=(0, (3, 2))
    )
    panel.set_xlabel("false-merge rate")
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter(lambda v, _: f"{v:g}")
    _shares(panel, everything)
    name = "B-cubed" if metric == "bcubed" else "Pairwise"
    panel.set_ylabel(f"{name}: share of faces" if metric == "bcubed" else f"{name}: share of pairs")
    plots.legend(panel, loc="best")
    return of(summary.asked.scores)


def cluster_sizes(summary: ClusteringSummary) -> str:
    """Plots the number of people and clusters by size."""
    sizes = summary.sizes
    figure, panel = plots.axes()
    _cluster_sizes(panel, summary)
    pairs = ", ".join(
        f"{name}: {p} and {c}"
        for name, p, c in zip(sizes.names, sizes.people, sizes.clusters, strict=True)
    )
    return svg.render(
        figure,
        name="sizes",
        title="Sizes of people and of clusters",
        description=f"People and clusters by number of faces: {pairs}.",
    )


def _cluster_sizes(panel: Axes, summary: ClusteringSummary) -> None:
    sizes = summary.sizes
    place = np.arange(len(sizes.names))
    for values, color, label, shift in (
        (sizes.people, plots.MATED, "people", -0.2),
        (sizes.clusters, plots.ACCENT, "clusters found", 0.2),
    ):
        panel.bar(place + shift, values, width=0.38, color=color, label=label)
    panel.set_xticks(place, sizes.names, rotation=0 if len(place) < 9 else 40)
    panel.set_yscale("symlog", linthresh=10)
    panel.set_ylim(0, 2.2 * max(*sizes.people, *sizes.clusters))
    ticks = (0, 5, 10, 20, 50, *(m * 10**k for k in range(2, 7) for m in (1, 3)))
    panel.set_yticks([t for t in ticks if t <= panel.get_ylim()[1]])
    panel.set_yticks([], minor=True)
    panel.yaxis.set_major_formatter(lambda v, _: f"{v:,.0f}")
    panel.set_xlabel("faces")
    panel.set_ylabel("how many")
    panel.grid(False, axis="x")
    plots.legend(panel, loc="upper right")


def _bcubed(scores: ClusteringScores) -> PrecisionRecall:
    return scores.bcubed


def _pairwise(scores: ClusteringScores) -> PrecisionRecall:
    return scores.pairwise


def _edge(values: list[float]) -> float:
    """Offset at which 0 and 1 are drawn; the logit axis has them at infinity."""
    missing = [1 - v for v in values if v < 1]
    return max(1e-7, 0.4 * min([*missing, 0.02]))


def _inside(values: list[float], edge: float) -> list[float]:
    return [min(max(v, edge), 1 - edge) for v in values]


def _shares(panel: Axes, values: list[float]) -> None:
    """Applies a logit axis in percent: 99 and 99.9 % are as far apart as 90 and 99 %."""
    edge = _edge(values)
    inside = _inside([v for v in values if v > 0.3] or values, edge)
    panel.set_yscale("logit")
    low, high = (np.log(v / (1 - v)) for v in (min(inside), max(inside)))
    ends = 1 / (1 + np.exp(-np.array([low - 0.06 * (high - low) - 0.1, high + 0.3])))
    panel.set_ylim(*ends)
    top = 1 - edge if max(values) >= 1 else 1.0
    marks = [t for t in _TICKS if ends[0] <= t <= ends[1] and 1 - t > 1.5 * (1 - top)]
    if len(marks) < 3:
        # With few powers of ten visible, minor ticks are labeled, too.
        between = [t for t in _BETWEEN if ends[0] <= t <= ends[1] and 1 - t > 1.5 * (1 - top)]
        marks = sorted([*marks, *between])
    labels = [f"{100 * t:.6g} %" for t in marks]
    if top < 1:
        marks, labels = [*marks, top], [*labels, "100 %"]
    panel.set_yticks([], minor=True)
    panel.set_yticks(marks, labels)


def row_name(row: ClusteringRow) -> str:
    """Describes a setting in words."""
    beside = ", plain templates" if row.plain else ""
    if row.false_merge is None:
        return "as given"
    return f"false-merge rate {row.false_merge:g}{beside}"
