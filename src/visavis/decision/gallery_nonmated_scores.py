"""Adapts a calibration to a gallery by the gallery's own non-mated scores.

Photos of another camera or of a more homogeneous population shift all non-mated scores. The scores
of a gallery's people with each other show by how much. The calibration gives the shape of the tail;
two numbers are fitted: if h is the log of the expected number of people matched at a score
according to the calibration, it is ``shift + slope * h`` in this gallery. A prior states how much
other photos differ from the calibration's; the estimate is the maximum of the posterior, and its
curvature gives the uncertainty. Without scores of its own, a gallery gets the prior.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.decision.cohort import SHRINKAGE
from visavis.types import Record

Floats = NDArray[np.float64]

SHIFT_SD: Final = 1.0
SLOPE_SD: Final = 0.2
"""Prior standard deviations of shift and slope between cameras and populations. Chosen on dark and
on small gray photos of LFW's View 1 training people: with 0.15 the upper end of the interval held
for 83 to 100 % of galleries of 10 to 100 people at 1e-1 and 1e-2, with 0.2 for 92 to 100 %."""

WEIGHT: Final = 0.5
"""Two people who are each other's best match contribute the same score twice, so scores count
half."""

UPPER: Final = 0.5
"""Share of the scores that is fitted; of the lower scores only the number counts."""


@dataclass(frozen=True, slots=True, eq=False)
class CohortShift(Record):
    """Shift of a gallery's non-mated scores relative to the calibration.

    Attributes:
        shift: added to the log of the expected number of people matched.
        slope: factor on that log.
        covariance: ``(2, 2)`` covariance of shift and slope.
        measured: whether it is based on scores of the gallery.
    """

    shift: float = 0.0
    slope: float = 1.0
    covariance: tuple[tuple[float, float], tuple[float, float]] = ((0.0, 0.0), (0.0, 0.0))
    measured: bool = False

    def apply(self, log_expected: Floats | float) -> Floats:
        """Median log of the expected number of people matched in this gallery."""
        return np.asarray(self.shift + self.slope * np.asarray(log_expected, dtype=np.float64))

    def mean(self, log_expected: Floats | float) -> Floats:
        """Log of the mean number of people matched, over the uncertainty of shift and slope.

        The distribution is log-normal. If nothing was measured, returns the calibration's value.
        """
        median = self.apply(log_expected)
        return median + self.variance(log_expected) / 2 if self.measured else median

    def variance(self, log_expected: Floats | float) -> Floats:
        """Variance of the log at values of the calibration."""
        h = np.asarray(log_expected, dtype=np.float64)
        (shift, both), (_, slope) = self.covariance
        return np.asarray(shift + 2 * both * h + slope * h**2)


def prior(*, scale: float = 1.0) -> CohortShift:
    """Returns the shift to assume for a gallery without scores of its own.

    Args:
        scale: 1 for any photos; less for a calibration made for these photos.
    """
    return CohortShift(
        covariance=((float((scale * SHIFT_SD) ** 2), 0.0), (0.0, float((scale * SLOPE_SD) ** 2)))
    )


def fit_shift(log_expected: Floats, spread: Floats, *, scale: float = 1.0) -> CohortShift:
    """Fits shift and slope to the gallery's own non-mated scores.

    Args:
        log_expected: ``(P,)``, log of the expected number of people matched at each score according
            to the calibration; decreases with the score.
        spread: ``(P,)``, squared coefficient of variation of individual rates there.
        scale: of the ``prior``, which is returned if there are no scores.
    """
    from scipy.optimize import minimize

    h = np.asarray(log_expected, dtype=np.float64)
    if not len(h):
        return prior(scale=scale)
    # High scores have low h; values above the bound count as "no higher score".
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
        away = (shift / SHIFT_SD) ** 2 + ((slope - 1) / SLOPE_SD) ** 2
        return float(-WEIGHT * (gain.sum() + below) + away / scale**2 / 2)

    best = minimize(loss, np.array([0.0, 1.0]), method="Nelder-Mead", options={"xatol": 1e-5})
    inverse = np.linalg.inv(_curvature(loss, best.x))
    return CohortShift(
        shift=float(best.x[0]),
        slope=float(best.x[1]),
        covariance=(
            (float(inverse[0, 0]), float(inverse[0, 1])),
            (float(inverse[1, 0]), float(inverse[1, 1])),
        ),
        measured=True,
    )


def as_non_mated(scores: Floats, people: int) -> Floats:
    """Corrects scores of centered templates for the people's own part in the mean.

    A person who is not enrolled has no part in it. About the mean of the others a score s is ``(s +
    e) / sqrt(1 + 2 e s + e ** 2)``, where e is the person's weight in the mean. Exact for one photo
    per person and templates with equal distance from the mean.

    Args:
        scores: ``(P,)`` scores about the mean of all, ``n / (n + 10)`` of it.
        people: n, the people behind the mean.

    >>> as_non_mated(np.array([0.3]), 100).round(4).tolist()
    [0.3083]
    """
    weight = 1 / (people + SHRINKAGE - 1)
    return np.asarray((scores + weight) / np.sqrt(1 + 2 * weight * scores + weight**2))


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
