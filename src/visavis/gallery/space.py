"""Chooses the mean on which templates of a gallery and probes are centered.

A calibration made on the user's own photos has its own mean. A general calibration, such as the
shipped one, also has measurements for centered templates. With it, a gallery is centered on the
mean of its own people if there are enough of them.
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
"""Smallest number of people for the gallery's own mean; see docs/concepts/identification.md."""


def calibration_in(gallery: GalleryStore, calibration: Calibration, sha256: str) -> Calibration:
    """Returns the calibration whose ``domain`` is used to search a gallery.

    Args:
        gallery: the gallery.
        calibration: calibration of the model in use.
        sha256: hash of the model file.
    """
    if calibration.domain is not None or calibration.centered is None:
        return calibration
    found = gallery.mean(sha256)
    return calibration if found is None else about_own_mean(calibration, *found)


def about_own_mean(calibration: Calibration, mean: NDArray[np.float32], people: int) -> Calibration:
    """Returns the calibration centered on a gallery's mean; unchanged if that does not apply.

    The mean of n people is shrunk to ``n / (n + 10)`` of its length, as everywhere.

    Args:
        calibration: calibration of the model in use.
        mean: ``(D,)`` mean of the people's mean templates.
        people: number of people.
    """
    if calibration.domain is not None or people < FEWEST_PEOPLE:
        return calibration
    shrunk = mean * np.float32(people / (people + SHRINKAGE))
    return calibration.about(Domain(shrunk, people, people)) or calibration
