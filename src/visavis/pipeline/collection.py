"""The space in which the faces of one collection are told apart: about their own mean."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.clustering.choose import strangers_of
from visavis.clustering.graph_linkage import GraphLinkage
from visavis.decision.profile import Calibration
from visavis.decision.whitening import fit_domain
from visavis.faces.quality import POOR
from visavis.types import Vectors

FEWEST_PEOPLE: Final = 10
"""Of fewer people the mean is mostly themselves (docs/concepts/clustering.md)."""

MOST_FACES: Final = 20_000
"""Of more faces as many are drawn at random."""


def about_own_mean(
    calibration: Calibration, vectors: Vectors, usability: NDArray[np.float64]
) -> Calibration:
    """The calibration about a collection's own mean, or as it is where that is of no use.

    The faces are clustered as they are, then each cluster counts once in the mean, however many
    photos it has; see ``docs/concepts/clustering.md``. Poor faces do not count.

    Args:
        calibration: of the model.
        vectors: ``(N, D)`` unit vectors, as the network makes them.
        usability: ``(N,)`` in [0, 1], see ``visavis.faces.quality``.

    Returns:
        A calibration whose ``project`` centers templates; ``calibration`` itself where there are
        fewer than 10 people, or where it knows no scores about a mean.
    """
    good = np.flatnonzero(usability >= POOR)
    if len(good) > MOST_FACES:
        good = np.sort(np.random.default_rng(0).choice(good, MOST_FACES, replace=False))
    if len(good) < FEWEST_PEOPLE:
        return calibration
    strangers = strangers_of(calibration.points, calibration.reference)
    people = GraphLinkage(strangers).cluster(calibration.project(vectors[good]))
    domain = fit_domain(vectors[good], people)
    own = calibration.about(domain) if domain.people >= FEWEST_PEOPLE else None
    return calibration if own is None else own
