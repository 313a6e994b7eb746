"""FPIR of a gallery from the FMR of one person: depends on size, templates per person, and cohort
shift."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visavis.decision.gallery_nonmated_scores import CohortShift
from visavis.decision.non_mated_model import NonMatedModel
from visavis.types import Record

Floats = NDArray[np.float64]

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
        templates: mean number of templates a person.
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
