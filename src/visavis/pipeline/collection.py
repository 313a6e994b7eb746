"""Centers the templates of a collection on its own mean."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.clustering.graph_linkage import GraphLinkage
from visavis.clustering.thresholds import fmr_curve_of
from visavis.decision.profile import Calibration
from visavis.decision.whitening import fit_domain
from visavis.faces.quality import POOR
from visavis.types import Vectors

FEWEST_PEOPLE: Final = 10
"""Fewest people for centering; the mean of fewer is mostly themselves
(docs/concepts/clustering.md)."""

MOST_FACES: Final = 20_000
"""Most faces for the mean; more are sampled."""


def about_own_mean(
    calibration: Calibration, vectors: Vectors, quality_score: NDArray[np.float64]
) -> Calibration:
    """Returns the calibration for a collection's own mean, or the plain one if that does not help.

    Plain templates are clustered first; then each cluster counts once in the mean, however many
    photos it has; see ``docs/concepts/clustering.md``. Poor faces do not count.

    Args:
        calibration: calibration of the model.
        vectors: ``(N, D)`` plain unit vectors.
        quality_score: ``(N,)`` in [0, 1], see ``visavis.faces.quality``.

    Returns:
        A calibration whose ``project`` centers templates; ``calibration`` itself for fewer than 10
        people, or if it has no measurements on centered templates.
    """
    good = np.flatnonzero(quality_score >= POOR)
    if len(good) > MOST_FACES:
        good = np.sort(np.random.default_rng(0).choice(good, MOST_FACES, replace=False))
    if len(good) < FEWEST_PEOPLE:
        return calibration
    curve = fmr_curve_of(calibration.points, calibration.reference)
    people = GraphLinkage(curve).cluster(calibration.project(vectors[good]))
    domain = fit_domain(vectors[good], people)
    own = calibration.about(domain) if domain.people >= FEWEST_PEOPLE else None
    return calibration if own is None else own
