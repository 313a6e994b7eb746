"""How a run went, over its epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from visavis import plots
from visavis.training.report import figure
from visavis.training.report.figure import Picture
from visavis.training.report.reading import RunFolder, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SMOOTH: Final = 40
"""The smooth line forgets over this part of all rows, one in so many."""


def loss(run: RunFolder) -> Picture | None:
    """Training loss as logged, and smoothed."""
    x, y = run.series("loss")
    if not len(x):
        return None
    drawn, panel = plots.axes()
    panel.plot(x, y, color=plots.MATED, linewidth=0.7, alpha=0.35)
    panel.plot(x, smooth(y), color=plots.MATED, linewidth=1.6)
    if y.min() > 0 and y.max() / y.min() > 50:
        panel.set_yscale("log")
    _epochs(panel, run)
    panel.set_ylabel("loss")
    return figure.finish(
        drawn,
        name="loss",
        title="Training loss",
        caption=f"From {y[0]:.3g} to {smooth(y)[-1]:.3g}; thin as logged, thick smoothed.",
    )


def active(run: RunFolder) -> Picture | None:
    """Share of triplets or pairs that still teach something."""
    x, y = run.series("active")
    if not len(x):
        return None
    drawn, panel = plots.axes()
    panel.plot(x, 100 * y, color=plots.ACCENT, linewidth=0.7, alpha=0.35)
    panel.plot(x, 100 * smooth(y), color=plots.ACCENT, linewidth=1.6)
    panel.set_ylim(0, max(5.0, min(100.0, 112 * float(y.max()))))
    _epochs(panel, run)
    panel.set_ylabel("active triplets or pairs (%)")
    return figure.finish(
        drawn,
        name="active",
        title="Active fraction",
        caption=f"Share of triplets or pairs with a loss above zero; {y[-1]:.0%} at the end. Where "
        "it stays near zero, nothing is learned from most of a batch.",
    )


def scores(run: RunFolder) -> Picture | None:
    """Mean scores of both kinds of pairs, in batches and on the validation people."""
    lines: list[tuple[str, str, Series]] = [
        ("mated", plots.MATED, run.series("mated")),
        ("non-mated", plots.NON_MATED, run.series("non_mated")),
    ]
    points = {
        "mated": run.series("validation_mated"),
        "non-mated": run.series("validation_non_mated"),
    }
    if not any(len(x) for _, _, (x, _) in lines) and not any(len(x) for x, _ in points.values()):
        return None
    drawn, panel = plots.axes()
    for name, colour, (x, y) in lines:
        panel.plot(x, y, color=colour, linewidth=0.7, alpha=0.3)
        panel.plot(x, smooth(y), color=colour, linewidth=1.4, label=f"{name}, in batches")
        own_x, own_y = points[name]
        panel.plot(
            own_x,
            own_y,
            "o",
            color=colour,
            markersize=4.5,
            markeredgecolor=plots.PAPER,
            label=f"{name}, validation",
        )
    _epochs(panel, run)
    panel.set_ylabel("mean score (cosine similarity)")
    plots.legend(panel, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return figure.finish(
        drawn,
        name="scores",
        title="Mean scores of pairs",
        caption="Apart is good. Both near one is a collapse: everybody looks the same.",
    )


def validation(run: RunFolder) -> Picture | None:
    """Area under the ROC curve on the validation people."""
    x, y = run.series("validation_auc")
    if not len(x):
        return None
    best = int(y.argmax())
    drawn, panel = plots.axes()
    panel.plot(x, y, "o-", color=plots.MATED, linewidth=1.4, markersize=3.5)
    panel.plot(x[best], y[best], "o", color=plots.ACCENT, markersize=7)
    side = "right" if 2 * x[best] > x[-1] else "left"
    spread = max(float(np.ptp(y)), 0.02)
    panel.set_ylim(float(y.min()) - 0.1 * spread, min(float(y.max()) + 0.25 * spread, 1.005))
    plots.note(panel, f"   {y[best]:.4f}   ", x[best], y[best], ha=side, va="center")
    _epochs(panel, run)
    panel.set_ylabel("validation AUC")
    return figure.finish(
        drawn,
        name="validation",
        title="Validation",
        caption=f"Area under the ROC curve on people kept apart; best {y[best]:.4f} after epoch "
        f"{x[best]:.3g}, which is the model that was kept.",
    )


def rank(run: RunFolder) -> Picture | None:
    """Effective rank of the embeddings."""
    x, y = run.series("rank")
    if not len(x):
        return None
    drawn, panel = plots.axes()
    panel.plot(x, y, color=plots.ACCENT, linewidth=0.7, alpha=0.35)
    panel.plot(x, smooth(y), color=plots.ACCENT, linewidth=1.5, label="batches")
    own_x, own_y = run.series("validation_rank")
    if len(own_x):
        panel.plot(own_x, own_y, "o", color=plots.MATED, markersize=4.5, label="validation")
        plots.legend(panel, loc="best")
    panel.set_ylim(bottom=0)
    _epochs(panel, run)
    panel.set_ylabel("effective rank")
    return figure.finish(
        drawn,
        name="rank",
        title="Directions in use",
        caption=f"Effective rank of the embeddings, of {run.recipe.get('dimension')} at most.",
    )


def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Running mean that forgets exponentially, without the pull of its start.

    >>> smooth(np.array([2.0, 2.0, 2.0]))
    array([2., 2., 2.])
    """
    keep = 1 - 1 / max(5.0, len(values) / _SMOOTH)
    total = weight = 0.0
    out = np.empty(len(values))
    for k, value in enumerate(values):
        total, weight = keep * total + value, keep * weight + 1
        out[k] = total / weight
    return out


def _epochs(panel: Axes, run: RunFolder) -> None:
    from matplotlib.ticker import MaxNLocator

    panel.set_xlabel("epoch")
    last = max((row.get("epoch", 0.0) for row in run.history), default=0.0)
    panel.set_xlim(0, 1.02 * last if last > 0 else 1)
    panel.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=run.recipe.get("epochs", 1) > 3))
