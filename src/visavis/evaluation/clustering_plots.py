"""The pictures of a clustering report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from visavis.evaluation import svg
from visavis.evaluation.clustering_records import ClusteringRow, ClusteringSummary
from visavis.metrics.clustering import ClusteringScores, PrecisionRecall

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKS: Final = "os^Dv<>p"
_TICKS: Final = (0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)


def over_settings(summary: ClusteringSummary, metric: str) -> str:
    """Precision, recall and F1 of the algorithm in front over its settings; "" for one setting.

    Args:
        summary: the evaluation.
        metric: ``pairwise`` or ``bcubed``.
    """
    rows = [r for r in summary.rows if r.algorithm == summary.algorithm and r.scores is not None]
    if len(rows) < 2:
        return ""
    by_score = rows[0].threshold is not None
    x = [(r.threshold if by_score else r.false_merge) or 0.0 for r in rows]
    of = _bcubed if metric == "bcubed" else _pairwise
    figure, panel = svg.axes()
    values = [of(r.scores) for r in rows if r.scores is not None]
    for label, colour, y in (
        ("precision", svg.NON_MATED, [v.precision for v in values]),
        ("recall", svg.MATED, [v.recall for v in values]),
        ("F1", svg.ACCENT, [v.f1 for v in values]),
    ):
        panel.plot(
            x, _inside(y, summary.faces), "o-", color=colour, linewidth=1.5, markersize=3.5,
            label=label,
        )  # fmt: skip
    asked = summary.asked
    at = asked.threshold if by_score else asked.false_merge
    panel.axvline(at or 0.0, color=svg.INK, linewidth=0.8, linestyle=(0, (3, 2)))
    panel.set_xlabel("score (cosine similarity) it works at" if by_score else "false-merge rate")
    if not by_score:
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter(lambda v, _: f"{v:g}")
    _shares(panel, [part for v in values for part in (v.precision, v.recall, v.f1)], summary.faces)
    name = "B-cubed" if metric == "bcubed" else "Pairwise"
    panel.set_ylabel(f"{name}: share of faces" if metric == "bcubed" else f"{name}: share of pairs")
    svg.legend(panel, loc="best")
    middle = of(asked.scores) if asked.scores is not None else values[0]
    return svg.render(
        figure,
        name=f"{metric}-over-settings",
        title=f"{name} precision, recall and F1 over the setting",
        description=f"At the setting asked for: precision {middle.precision:.4f}, recall "
        f"{middle.recall:.4f}, F1 {middle.f1:.4f}.",
    )


def trade_off(summary: ClusteringSummary) -> str:
    """B-cubed precision over recall, a line an algorithm; "" for a single row."""
    if len(summary.rows) < 2:
        return ""
    figure, panel = svg.axes(size=(6.4, 4.6))
    names = list(dict.fromkeys(row.algorithm for row in summary.rows))
    everything: list[float] = []
    for k, name in enumerate(names):
        rows = [r for r in summary.rows if r.algorithm == name and r.scores is not None]
        values = [_bcubed(r.scores) for r in rows if r.scores is not None]
        colour, mark = svg.SERIES[k % len(svg.SERIES)], _MARKS[k % len(_MARKS)]
        x, y = ([getattr(v, part) for v in values] for part in ("recall", "precision"))
        everything += [*x, *y]
        x, y = _inside(x, summary.faces), _inside(y, summary.faces)
        panel.plot(x, y, f"{mark}-", color=colour, linewidth=1.2, markersize=3.5, label=name)
        for row, one, other in zip(rows, x, y, strict=True):
            if row.default:
                panel.plot(
                    one, other, mark, color=colour, markersize=9, markeredgecolor=svg.INK,
                    markeredgewidth=1,
                )  # fmt: skip
    panel.set_xlabel("B-cubed recall")
    panel.set_ylabel("B-cubed precision")
    _shares(panel, everything, summary.faces)
    _shares(panel, everything, summary.faces, across=True)
    svg.legend(panel, loc="lower left")
    return svg.render(
        figure,
        name="trade-off",
        title="B-cubed precision over recall",
        description=f"A line for each of {', '.join(names)}; upper right is better.",
    )


def cluster_sizes(summary: ClusteringSummary) -> str:
    """How many people and how many clusters there are of each class of sizes."""
    sizes = summary.sizes
    figure, panel = svg.axes()
    place = np.arange(len(sizes.names))
    for values, colour, label, shift in (
        (sizes.people, svg.MATED, "people", -0.2),
        (sizes.clusters, svg.ACCENT, "clusters found", 0.2),
    ):
        panel.bar(place + shift, values, width=0.38, color=colour, label=label)
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
    svg.legend(panel, loc="upper right")
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


def _bcubed(scores: ClusteringScores) -> PrecisionRecall:
    return scores.bcubed


def _pairwise(scores: ClusteringScores) -> PrecisionRecall:
    return scores.pairwise


def _inside(values: list[float], faces: int) -> list[float]:
    """Shares moved off 0 and 1, which the logit axis has at infinity."""
    edge = 0.5 / (faces + 1)
    return [min(max(v, edge), 1 - edge) for v in values]


def _shares(panel: Axes, values: list[float], faces: int, *, across: bool = False) -> None:
    """A logit axis in percent: 99 and 99.9 % are as far apart as 90 and 99 %."""
    inside = _inside([v for v in values if v > 0.3] or values, faces)
    axis = panel.xaxis if across else panel.yaxis
    (panel.set_xscale if across else panel.set_yscale)("logit")
    low, high = (np.log(v / (1 - v)) for v in (min(inside), max(inside)))
    ends = 1 / (1 + np.exp(-np.array([low - 0.06 * (high - low) - 0.1, high + 0.3])))
    (panel.set_xlim if across else panel.set_ylim)(*ends)
    axis.set_ticks([t for t in _TICKS if ends[0] <= t <= ends[1]])
    between = [0.2, 0.8, 0.95, 0.98, 0.995, 0.998]
    axis.set_ticks([t for t in between if ends[0] <= t <= ends[1]], minor=True)
    axis.set_major_formatter(_percent)
    # With few powers of ten in view the marks between them are named, too.
    few = sum(ends[0] <= t <= ends[1] for t in _TICKS) < 3
    axis.set_minor_formatter(_percent if few else _nothing)


def _percent(value: float, _place: float) -> str:
    return f"{100 * value:.6g} %"


def _nothing(_value: float, _place: float) -> str:
    return ""


def row_name(row: ClusteringRow) -> str:
    """A setting in words.

    >>> row_name(ClusteringRow("dbscan", None, 0.5, 1e-5, False, 1.0, None))
    'score 0.5000'
    """
    if row.threshold is not None:
        return f"score {row.threshold:.4f}"
    return "as given" if row.false_merge is None else f"false-merge rate {row.false_merge:g}"
