"""What a gallery's own scores say about the strangers that the calibration did not see.

Photos of another camera or of a more alike population move all scores of strangers. Each person of
a gallery is a stranger to the rest of it, so their scores with the others show by how much. The
calibration keeps the shape of the tail; two numbers are fitted: with h the log of the number of
people that a stranger is expected to reach at a score by the calibration, it is
``shift + slope * h`` in this gallery. A prior holds both where the scores are few; the estimate is
the maximum of the posterior, its curvature the uncertainty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.types import Record

Floats = NDArray[np.float64]

SHIFT_SD: Final = 1.0
SLOPE_SD: Final = 0.15
"""How far photos of other cameras and populations lie from the calibration's, standard deviations
of shift and slope: chosen on degraded and regrouped photos of LFW's View 1 training people
(``benchmarks/open_set.py``)."""

WEIGHT: Final = 0.5
"""Two people who come closest to each other lend one score to both: scores count half."""

UPPER: Final = 0.5
"""The part of the scores that is fitted; of the lower ones only their number counts."""


@dataclass(frozen=True, slots=True, eq=False)
class Departure(Record):
    """How a gallery's strangers depart from the calibration's.

    Attributes:
        shift: added to the log of the expected number of people that a stranger reaches.
        slope: factor on that log.
        covariance: ``(2, 2)`` of the two.
    """

    shift: float = 0.0
    slope: float = 1.0
    covariance: tuple[tuple[float, float], tuple[float, float]] = ((0.0, 0.0), (0.0, 0.0))

    def apply(self, log_expected: Floats | float) -> Floats:
        """The log of the expected number of people reached, in this gallery."""
        return np.asarray(self.shift + self.slope * np.asarray(log_expected, dtype=np.float64))

    def undo(self, log_expected: Floats | float) -> Floats:
        """The inverse of ``apply``."""
        return np.asarray((np.asarray(log_expected, dtype=np.float64) - self.shift) / self.slope)

    def variance(self, log_expected: float) -> float:
        """Variance of ``apply`` at one value of the calibration."""
        row = np.array([1.0, log_expected])
        return float(row @ np.asarray(self.covariance) @ row)


def fit_departure(log_expected: Floats, spread: Floats) -> Departure:
    """Fit shift and slope to simulated strangers.

    Args:
        log_expected: ``(P,)``, for each own score the log of the expected number of people that
            reach it by the calibration; the higher the score, the lower.
        spread: ``(P,)``, squared coefficient of variation of strangers' own rates there.
    """
    from scipy.optimize import minimize

    h = np.asarray(log_expected, dtype=np.float64)
    # High scores are the low ones of h; those above the bound count as "no higher score".
    bound = float(np.quantile(h, UPPER))
    shown = h <= bound
    high, c = h[shown], np.maximum(np.asarray(spread, dtype=np.float64)[shown], 1e-6)
    rest, c_bound = int((~shown).sum()), float(c.max(initial=1e-6))

    def loss(theta: Floats) -> float:
        shift, slope = float(theta[0]), max(float(theta[1]), 0.05)
        log_rate = np.minimum(shift + slope * high, 50.0)
        rate = np.exp(log_rate)
        # Survival of the best score is 1 - (1 + c rate)^(-1/c); its density in h follows.
        gain = np.log(slope) + log_rate - (1 / c + 1) * np.log1p(c * rate)
        edge = np.exp(min(shift + slope * bound, 50.0))
        below = -rest / c_bound * np.log1p(c_bound * edge)
        prior = (shift / SHIFT_SD) ** 2 + ((slope - 1) / SLOPE_SD) ** 2
        return float(-WEIGHT * (gain.sum() + below) + prior / 2)

    best = minimize(loss, np.array([0.0, 1.0]), method="Nelder-Mead", options={"xatol": 1e-5})
    inverse = np.linalg.inv(_curvature(loss, best.x))
    return Departure(
        shift=float(best.x[0]),
        slope=float(best.x[1]),
        covariance=(
            (float(inverse[0, 0]), float(inverse[0, 1])),
            (float(inverse[1, 0]), float(inverse[1, 1])),
        ),
    )


def _curvature(loss: Callable[[Floats], float], at: Floats) -> Floats:
    """Second derivatives by central differences."""
    step = 1e-3
    out = np.zeros((2, 2))
    axes = np.eye(2) * step
    for i in range(2):
        for j in range(2):
            out[i, j] = (
                loss(at + axes[i] + axes[j])
                - loss(at + axes[i] - axes[j])
                - loss(at - axes[i] + axes[j])
                + loss(at - axes[i] - axes[j])
            ) / (4 * step * step)
    return out
