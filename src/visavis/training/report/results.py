"""What the model came to on the validation people: ROC, scores, embeddings in the plane."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis import plots
from visavis.metrics.verification import roc_auc
from visavis.training.loop.validation import pair_scores
from visavis.training.report import figure
from visavis.training.report.figure import Picture
from visavis.training.report.reading import Validated

PEOPLE: Final = 16
PHOTOS: Final = 30

Scores = NDArray[np.float32]


def split_scores(validated: Validated) -> tuple[Scores, Scores]:
    """Scores of the mated and of the non-mated pairs."""
    return pair_scores(validated.vectors, validated.labels)


def roc(mated: Scores, non_mated: Scores) -> Picture:
    """True matches over false ones, these on a logarithmic axis."""
    drawn, panel = plots.axes()
    x, y = plots.roc(panel, mated, non_mated)
    missed = 1 - float(y[x >= 1 / len(non_mated)].min())
    panel.set_ylim(max(0.0, 1 - 1.3 * max(missed, 0.02)), 1 + 0.04 * max(missed, 0.02))
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
    drawn, panel = plots.axes()
    plots.histogram(panel, mated, non_mated, list(thresholds.items()))
    return figure.finish(
        drawn,
        name="histogram",
        title="Scores",
        caption=f"Median {np.median(mated):.3f} of mated and {np.median(non_mated):.3f} of "
        "non-mated pairs.",
    )


def projection(validated: Validated, *, seed: int = 0) -> Picture | None:
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
    return figure.finish(
        drawn,
        name="projection",
        title="Validation people in the plane",
        caption=f"{how}: the {len(chosen)} validation people with most photos. A heap each is "
        "good.",
    )
