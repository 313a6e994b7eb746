"""What the model came to on the validation people: ROC, scores, embeddings in the plane."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.metrics.verification import det_points, roc_auc
from visavis.training.report import figure
from visavis.training.report.figure import Picture
from visavis.training.report.reading import Validated
from visavis.training.validation import pair_scores

PEOPLE: Final = 16
PHOTOS: Final = 30
_POINTS: Final = 1500

Scores = NDArray[np.float32]


def split_scores(validated: Validated) -> tuple[Scores, Scores]:
    """Scores of the mated and of the non-mated pairs."""
    return pair_scores(validated.vectors, validated.labels)


def roc(mated: Scores, non_mated: Scores) -> Picture:
    """True matches over false ones, these on a logarithmic axis."""
    fmr, fnmr = det_points(mated, non_mated)
    lowest = 1 / len(non_mated)
    # The step keeps to what was observed: between two points FNMR is the best of the lower FMR.
    order = np.lexsort((-fnmr, fmr))
    x, y = np.maximum(fmr[order], lowest / 3), 1 - fnmr[order]
    keep = np.unique(np.linspace(0, len(x) - 1, _POINTS).astype(int))
    if len(x) > _POINTS:
        # Evenly along the logarithmic axis: most points lie at its right end.
        wanted = np.linspace(np.log(x[0]), np.log(x[-1]), _POINTS)
        keep = np.unique(np.clip(np.searchsorted(np.log(x), wanted), 0, len(x) - 1))
    drawn, panel = figure.axes()
    panel.plot(x[keep], y[keep], color=figure.MATED, linewidth=1.6, drawstyle="steps-post")
    panel.set_xscale("log")
    panel.set_xlim(lowest, 1)
    missed = 1 - float(y[x >= lowest].min())
    panel.set_ylim(max(0.0, 1 - 1.3 * max(missed, 0.02)), 1 + 0.04 * max(missed, 0.02))
    panel.set_xlabel("false match rate (FMR)")
    panel.set_ylabel("true match rate (1 − FNMR)")
    return figure.finish(
        drawn,
        name="roc",
        title="ROC curve",
        caption=f"{len(mated):,} mated and {len(non_mated):,} non-mated pairs of people kept "
        f"apart; area {roc_auc(mated, non_mated):.4f}. The left end rests on a few pairs.",
    )


def histogram(mated: Scores, non_mated: Scores, thresholds: dict[str, float]) -> Picture:
    """How the scores of both kinds lie.

    Args:
        mated: scores of mated pairs.
        non_mated: scores of non-mated pairs.
        thresholds: thresholds to draw, by what they are called.
    """
    drawn, panel = figure.axes()
    low, high = float(min(mated.min(), non_mated.min())), float(max(mated.max(), non_mated.max()))
    bins = np.linspace(low, high if high > low else low + 1, 64)
    for values, colour, label in (
        (non_mated, figure.NON_MATED, "different people"),
        (mated, figure.MATED, "same person"),
    ):
        share = 100 * np.histogram(values, bins)[0] / len(values)
        panel.stairs(share, bins, fill=True, color=colour, alpha=0.28)
        panel.stairs(share, bins, color=colour, linewidth=1.3, label=label)
    top = panel.get_ylim()[1] * 1.12
    panel.set_ylim(0, top)
    for k, (name, threshold) in enumerate(thresholds.items()):
        panel.axvline(threshold, color=figure.INK, linewidth=0.8, linestyle=(0, (3, 2)))
        side = "right" if threshold > (low + high) / 2 else "left"
        height = top * (0.975 - 0.06 * k)
        figure.note(panel, f" {name} ", threshold, height, color=figure.INK, va="top", ha=side)
    panel.set_xlabel("score (cosine similarity)")
    panel.set_ylabel("share of the pairs of a kind (%)")
    figure.legend(panel, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return figure.finish(
        drawn,
        name="histogram",
        title="Scores",
        caption=f"Median {np.median(mated):.3f} of mated and {np.median(non_mated):.3f} of "
        "non-mated pairs.",
    )


def projection(validated: Validated, *, seed: int = 0) -> Picture | None:
    """Embeddings of the people with most photos in the plane; ``None`` for too few.

    L. van der Maaten and G. Hinton, "Visualizing data using t-SNE", JMLR 9, 2008.
    """
    people, counts = np.unique(validated.labels, return_counts=True)
    several = people[counts > 1]
    chosen = several[np.argsort(-counts[counts > 1], kind="stable")][:PEOPLE]
    rows = np.concatenate(
        [np.zeros(0, np.int64)]
        + [np.flatnonzero(validated.labels == person)[:PHOTOS] for person in chosen]
    )
    if len(rows) < 8:
        return None
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(15.0, (len(rows) - 1) / 4)
    # So few points are faster on one thread: several wait for each other a thousand times.
    with threadpool_limits(1):
        points = TSNE(
            metric="cosine", init="random", perplexity=perplexity, random_state=seed
        ).fit_transform(validated.vectors[rows])
    drawn, panel = figure.axes(size=(7.4, 5.0))
    panel.grid(False)
    panel.set_xticks([])
    panel.set_yticks([])
    for side in ("left", "bottom"):
        panel.spines[side].set_visible(False)
    for k, person in enumerate(chosen):
        own = points[validated.labels[rows] == person]
        panel.plot(
            own[:, 0],
            own[:, 1],
            "os^Dv"[k // len(figure.SERIES) % 5],
            color=figure.SERIES[k % len(figure.SERIES)],
            markersize=5.5,
            alpha=0.85,
            markeredgecolor=figure.PAPER,
            markeredgewidth=0.6,
            linestyle="none",
            label=str(validated.people[validated.labels == person][0]).replace("_", " "),
        )
    figure.legend(panel, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure.finish(
        drawn,
        name="projection",
        title="Validation people in the plane",
        caption=f"t-SNE of {len(rows)} embeddings, cosine distance, perplexity {perplexity:g}, "
        f"seed {seed}: the {len(chosen)} validation people with most photos. A heap each is good.",
    )
