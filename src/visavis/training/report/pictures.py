"""Pictures of a run: training curves, ROC, scores, projection."""

from __future__ import annotations

import io
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from visavis import plots
from visavis.metrics.verification import roc_auc
from visavis.training.loop.validation import pair_scores
from visavis.training.report.reading import RunFolder, Series, ValidationEmbeddings
from visavis.writing import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI: Final = 160


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn picture.

    Attributes:
        name: of its files, without suffix.
        title: in a few words.
        caption: what it shows.
        svg: the ``<svg>`` element.
        png: bytes of the PNG file.
    """

    name: str
    title: str
    caption: str
    svg: str
    png: bytes


def finish(figure: Figure, *, name: str, title: str, caption: str) -> Picture:
    """Render a figure as SVG and PNG."""
    pixels = io.BytesIO()
    figure.savefig(pixels, format="png", dpi=_DPI)
    text = plots.as_svg(figure, name=name)
    label = escape(f"{title}: {caption}", quote=True)
    text = text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    return Picture(name, title, caption, text, pixels.getvalue())


def save(picture: Picture, folder: Path) -> tuple[Path, Path]:
    """Write both files.

    Raises:
        OSError: the folder cannot be written.
    """
    paths = folder / f"{picture.name}.svg", folder / f"{picture.name}.png"
    head = '<?xml version="1.0" encoding="utf-8"?>\n'
    for path, content in zip(paths, ((head + picture.svg).encode(), picture.png), strict=True):
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    return paths


_SMOOTH: Final = 40
"""The smooth line forgets over this part of all rows, one in so many."""


def loss(run: RunFolder) -> Picture | None:
    """Training loss as logged, and smoothed."""
    x, y = run.series("loss")
    if not len(x):
        return None
    drawn, panel = plots.axes()
    _trend(panel, x, y, plots.MATED)
    if y.min() > 0 and y.max() / y.min() > 50:
        panel.set_yscale("log")
    _epochs(panel, run)
    panel.set_ylabel("loss")
    return finish(
        drawn,
        name="loss",
        title="Training loss",
        caption=f"From {y[0]:.3g} to {smooth(y)[-1]:.3g}; thin as logged, thick smoothed.",
    )


def active(run: RunFolder) -> Picture | None:
    """Share of triplets or pairs with a loss above zero."""
    x, y = run.series("active")
    if not len(x):
        return None
    drawn, panel = plots.axes()
    _trend(panel, x, 100 * y, plots.ACCENT)
    panel.set_ylim(0, max(5.0, min(100.0, 112 * float(y.max()))))
    _epochs(panel, run)
    panel.set_ylabel("active triplets or pairs (%)")
    return finish(
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
    for name, color, (x, y) in lines:
        _trend(panel, x, y, color, label=f"{name}, in batches")
        own_x, own_y = points[name]
        panel.plot(
            own_x,
            own_y,
            "o",
            color=color,
            markersize=4.5,
            markeredgecolor=plots.PAPER,
            label=f"{name}, validation",
        )
    _epochs(panel, run)
    panel.set_ylabel("mean score (cosine similarity)")
    plots.legend(panel, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return finish(
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
    return finish(
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
    _trend(panel, x, y, plots.ACCENT, label="batches")
    own_x, own_y = run.series("validation_rank")
    if len(own_x):
        panel.plot(own_x, own_y, "o", color=plots.MATED, markersize=4.5, label="validation")
        plots.legend(panel, loc="best")
    panel.set_ylim(bottom=0)
    _epochs(panel, run)
    panel.set_ylabel("effective rank")
    return finish(
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


def _trend(
    panel: Axes,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    color: str,
    *,
    label: str | None = None,
) -> None:
    """Draw values thinly and their running mean on top."""
    panel.plot(x, y, color=color, linewidth=0.7, alpha=0.35)
    panel.plot(x, smooth(y), color=color, linewidth=1.6, label=label)


def _epochs(panel: Axes, run: RunFolder) -> None:
    from matplotlib.ticker import MaxNLocator

    panel.set_xlabel("epoch")
    last = max((row.get("epoch", 0.0) for row in run.history), default=0.0)
    panel.set_xlim(0, 1.02 * last if last > 0 else 1)
    panel.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=run.recipe.get("epochs", 1) > 3))


PEOPLE: Final = 16
PHOTOS: Final = 30

Scores = NDArray[np.float32]


def split_scores(validated: ValidationEmbeddings) -> tuple[Scores, Scores]:
    """Scores of the mated and of the non-mated pairs."""
    return pair_scores(validated.vectors, validated.labels)


def roc(mated: Scores, non_mated: Scores) -> Picture:
    """ROC curve with a logarithmic axis of false matches."""
    drawn, panel = plots.axes()
    x, y = plots.roc(panel, mated, non_mated)
    missed = 1 - float(y[x >= 1 / len(non_mated)].min())
    panel.set_ylim(max(0.0, 1 - 1.3 * max(missed, 0.02)), 1 + 0.04 * max(missed, 0.02))
    return finish(
        drawn,
        name="roc",
        title="ROC curve",
        caption=f"{len(mated):,} mated and {len(non_mated):,} non-mated pairs of people kept "
        f"apart; area {roc_auc(mated, non_mated):.4f}. The left end rests on a few pairs.",
    )


def histogram(mated: Scores, non_mated: Scores, thresholds: dict[str, float]) -> Picture:
    """Histogram of mated and non-mated scores.

    Args:
        mated: scores of mated pairs.
        non_mated: scores of non-mated pairs.
        thresholds: thresholds to draw, by what they are called.
    """
    drawn, panel = plots.axes()
    plots.histogram(panel, mated, non_mated, list(thresholds.items()))
    return finish(
        drawn,
        name="histogram",
        title="Scores",
        caption=f"Median {np.median(mated):.3f} of mated and {np.median(non_mated):.3f} of "
        "non-mated pairs.",
    )


def projection(validated: ValidationEmbeddings, *, seed: int = 0) -> Picture | None:
    """Embeddings of the people with most photos in the plane; ``None`` for too few."""
    people, counts = np.unique(validated.labels, return_counts=True)
    several = people[counts > 1]
    chosen = several[np.argsort(-counts[counts > 1], kind="stable")][:PEOPLE]
    rows = np.concatenate(
        [np.zeros(0, np.int64)]
        + [np.flatnonzero(validated.labels == person)[:PHOTOS] for person in chosen]
    )
    found = plots.plane(validated.vectors[rows], seed=seed)
    if found is None:
        return None
    points, how = found
    names = [str(name) for name in validated.people[rows]]
    drawn = plots.in_the_plane(points[:, 0], points[:, 1], names)
    return finish(
        drawn,
        name="projection",
        title="Validation people in the plane",
        caption=f"{how}: the {len(chosen)} validation people with most photos. A heap each is "
        "good.",
    )
