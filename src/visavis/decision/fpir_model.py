"""FPIR of a gallery from the FMR of one person: depends on size, templates per person, and cohort
shift."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visavis.decision.cohort import SHRINKAGE
from visavis.decision.non_mated_model import NonMatedModel
from visavis.types import Record

# Adapts a calibration to a gallery by the gallery's own non-mated scores.
#
# Photos of another camera or of a more homogeneous population shift all non-mated scores. The
# scores of a gallery's people with each other show by how much. The calibration gives the shape of
# the tail; two numbers are fitted: if h is the log of the expected number of people matched at a
# score according to the calibration, it is ``shift + slope * h`` in this gallery. A prior states
# how much other photos differ from the calibration's; the estimate is the maximum of the posterior,
# and its curvature gives the uncertainty. Without scores of its own, a gallery gets the prior.

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
        scores: ``(P,)`` scores centered on the mean of all, ``n / (n + 10)`` of it.
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


MEAN_SHIFT: Final = 0.022
"""The mean of K templates is closer to non-mated probes, too: scores rise by ``0.022 (1 - 1/K)``.
On LFW View 1 training people, K of 2, 3, 5, 10, at any rate from 1e-1 to 1e-4: 0.009, 0.013, 0.017,
0.021 (median)."""

CENTERED_SHIFT: Final = 0.009
"""The same for centered templates; the largest observed increases were 0.005, 0.007, 0.007, 0.011
at rates of 1e-3 and 1e-4, and less (0.002 to 0.005) at 1e-2."""

MAX_RATES: Final = (-4.0, -3.0, -2.0, -1.0)
MAX_POWERS: Final = (0.90, 0.85, 0.77, 0.60)
"""The best of K templates multiplies the rate by ``K^power``; less than K, because they are
similar. The power depends on the decimal logarithm of the rate; measured on the same people."""

MODEL_SD: Final = 0.2
"""Standard deviation of the log FPIR that size, fusion and cohort shift do not explain: sets of
people differ in the number of relatives and look-alikes. On small, dark and regrouped photos of the
training people, rates of 1e-2 were off by 0.26 (root mean square of the log of measured over
stated), of which sampling explains about 0.17."""

MINIMUM_ERRORS: Final = 10

_FINENESS: Final = 5e-4
_Z: Final = 1.96


@dataclass(frozen=True, slots=True, eq=False)
class FpirModel(Record):
    """Probability that a non-mated probe reaches each score in a gallery.

    Attributes:
        non_mated: the same for one person with one template.
        people: people enrolled.
        templates: mean number of templates per person.
        fusion: how their scores are combined.
        cohort_shift: cohort shift of the gallery.
        mean_shift: increase of scores by averaging several templates.
    """

    non_mated: NonMatedModel
    people: int
    templates: float = 1.0
    fusion: str = "weighted"
    cohort_shift: CohortShift = field(default_factory=CohortShift)
    mean_shift: float = MEAN_SHIFT

    @property
    def highest(self) -> float:
        """Highest score whose rate is based on ten pairs of people."""
        known = self.non_mated
        if known.log_sd is not None:
            return self._shown(float(known.scores[-1]))
        enough = known.fmr * known.pairs >= MINIMUM_ERRORS
        last = int(np.flatnonzero(enough)[-1]) if enough.any() else 0
        return self._shown(float(known.scores[last]))

    @property
    def lowest(self) -> float:
        """Lowest supported rate."""
        return float(self.fpir(self.highest))

    def log_expected(self, scores: ArrayLike) -> Floats:
        """Log of the expected number of people matched at each score, according to the calibration.

        For one person and rate f it is ``-log(1 - f)``, so that probabilities multiply for high f.
        """
        values = np.asarray(scores, dtype=np.float64)
        if self.fusion != "max":
            values = values - self._mean_shift()
        logs = self.non_mated.log_fmr(values)
        extra: Floats | float = 0.0
        if self.fusion == "max":
            power = np.interp(logs / np.log(10), MAX_RATES, MAX_POWERS)
            extra = power * np.log(self.templates)
        # Keeps a rate of 1 finite.
        expected = np.minimum(-np.log1p(-np.minimum(np.exp(logs), 1 - 1e-12)), 27.0)
        return np.asarray(np.log(expected) + extra + np.log(self.people))

    def spread(self, scores: ArrayLike) -> Floats:
        """Squared coefficient of variation of individual rates at each score."""
        return self.non_mated.spread_at(scores)

    def fpir(self, scores: ArrayLike) -> Floats:
        """Returns the FPIR at each score.

        Averaged over the uncertainty of ``cohort_shift``, the shift between gallery and calibration
        photos.
        """
        return self._reached(self.cohort_shift.mean(self.log_expected(scores)), scores)

    def interval(self, score: float) -> tuple[float, float]:
        """Returns the 95 % interval of the FPIR at a score, see ``log_sd``."""
        median = float(self.cohort_shift.apply(self.log_expected(score)))
        ends = [median - _Z * self.log_sd(score), median + _Z * self.log_sd(score)]
        low, high = self._reached(np.array(ends), score)
        return (float(low), float(high))

    def _reached(self, log_expected: Floats, scores: ArrayLike) -> Floats:
        expected = np.exp(np.minimum(log_expected, 50.0))
        c = np.maximum(self.spread(scores), 1e-9)
        return np.asarray(-np.expm1(-np.log1p(c * expected) / c))

    def threshold(self, fpir: float) -> float:
        """Returns the lowest score, in steps of 5e-4, with an FPIR of at most ``fpir``."""
        scores = np.arange(float(self.non_mated.scores[0]), self.highest, _FINENESS).round(6)
        scores = np.append(scores[scores < self.highest], self.highest)
        # Highest FPIR from here on: the spread may make it rise with the score.
        worst = np.maximum.accumulate(self.fpir(scores)[::-1])[::-1]
        fitting = np.flatnonzero(worst <= fpir * (1 + 1e-9))
        return float(scores[fitting[0] if len(fitting) else -1])

    def log_sd(self, score: float) -> float:
        """Returns the standard deviation of the log FPIR at a score.

        Four sources: the people of the calibration; the enrolled people (their rates vary like
        those of other people, ``c / N``); the remaining uncertainty about the cohort shift; and
        ``MODEL_SD``.
        """
        at = float(score) if self.fusion == "max" else float(score) - self._mean_shift()
        gallery = float(self.spread(at)) / self.people
        log_expected = float(self.log_expected(score))
        variance = self.non_mated.variance(at) * self.cohort_shift.slope**2 + gallery
        return float(np.sqrt(variance + self.cohort_shift.variance(log_expected) + MODEL_SD**2))

    def _shown(self, score: float) -> float:
        return score if self.fusion == "max" else score + self._mean_shift()

    def _mean_shift(self) -> float:
        return self.mean_shift * (1 - 1 / self.templates)
