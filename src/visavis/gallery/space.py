"""About which mean a gallery's people are compared with a probe.

A calibration of the user's own photos has its mean. One for photos of any kind, as the shipped ones
are, also knows what was measured about a mean: with it a gallery is searched about the mean of its
own people, where they are enough.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.decision.cohort import SHRINKAGE
from visavis.decision.domain import Domain
from visavis.decision.profile import Calibration
from visavis.gallery.store import GalleryStore

FEWEST_PEOPLE: Final = 10
"""People from which on the gallery's own mean is used. Measured: docs/concepts/identification.md"""


def calibration_in(gallery: GalleryStore, calibration: Calibration, sha256: str) -> Calibration:
    """The calibration by whose ``domain`` a gallery is searched.

    Args:
        gallery: who is enrolled.
        calibration: of the model in use.
        sha256: hash of the model file.
    """
    if calibration.domain is not None or calibration.centered is None:
        return calibration
    found = gallery.mean(sha256)
    return calibration if found is None else about_own_mean(calibration, *found)


def about_own_mean(calibration: Calibration, mean: NDArray[np.float32], people: int) -> Calibration:
    """The calibration about the mean of a gallery; unchanged if that is not to be used.

    The mean is taken by ``n / (n + 10)`` of its length for n people, as everywhere.

    Args:
        calibration: of the model in use.
        mean: ``(D,)`` mean of the people's mean templates.
        people: how many.
    """
    if calibration.domain is not None or people < FEWEST_PEOPLE:
        return calibration
    shrunk = mean * np.float32(people / (people + SHRINKAGE))
    return calibration.about(Domain(shrunk, people, people)) or calibration
