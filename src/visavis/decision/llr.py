"""Maps scores to log-likelihood ratios, fitted on labelled pairs.

Two methods: an affine map by logistic regression (N. Brümmer and J. du Preez,
"Application-independent evaluation of speaker detection", Computer Speech & Language 20, 2006) and
a monotone map by pool adjacent violators (PAV, isotonic regression). Both give mated and non-mated
pairs the same total weight, so that the fitted log odds are log-likelihood ratios for any share of
mated pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, floor, inf, log, log10

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visavis.decision.pair_scores import PairScores, bin_centers, histogram_of
from visavis.errors import CalibrationError, OptionError
from visavis.types import Record


@dataclass(frozen=True, slots=True)
class LlrCalibration(Record):
    """A monotone piecewise linear map from scores to natural-log likelihood ratios.

    Attributes:
        method: ``logistic`` or ``isotonic``.
        scores: scores, ascending; the map is constant below the first and above the last.
        llrs: their log-likelihood ratios, non-decreasing.
    """

    method: str
    scores: tuple[float, ...]
    llrs: tuple[float, ...]

    def llr(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Natural-log likelihood ratios, mated over non-mated, of the shape of ``scores``.

        >>> LlrCalibration("logistic", (0.0, 1.0), (-2.0, 4.0)).llr([-1.0, 0.5, 2.0])
        array([-2.,  1.,  4.])
        """
        values = np.asarray(scores, dtype=np.float64)
        return np.interp(values, self.scores, self.llrs)


def caps(pairs: PairScores, rarest: float) -> tuple[float, float]:
    """Returns the limits that the data support, as ``(lowest, highest)`` LLR.

    The highest is ``1 / rarest``, the rarest false match rate measured. The lowest is a tenth of
    the number of people with mated pairs: the rarest false non-match rate that ten different people
    could show.
    """
    mates = len(np.unique(pairs.mated_people))
    return -log(max(mates / 10, 2.0)), log(1 / rarest)


def fit_logistic(pairs: PairScores, *, bounds: tuple[float, float]) -> LlrCalibration:
    """Fits an affine log-likelihood ratio by logistic regression, clipped at ``bounds``.

    Raises:
        CalibrationError: there are no mated pairs, or they do not score higher.
    """
    from sklearn.linear_model import LogisticRegression

    centers, target, weight = _weighted(pairs)
    # The weak penalty only prevents an infinite slope for separable scores.
    model = LogisticRegression(C=1e6, max_iter=1000, tol=1e-8)
    model.fit(centers[:, None], target, sample_weight=weight * 1000)
    slope, offset = float(model.coef_[0, 0]), float(model.intercept_[0])
    if slope <= 0:
        raise CalibrationError(
            "mated pairs that score no higher than non-mated ones", "check the labels of the photos"
        )
    low, high = bounds
    return LlrCalibration(
        "logistic", ((low - offset) / slope, (high - offset) / slope), (low, high)
    )


def fit_isotonic(pairs: PairScores, *, bounds: tuple[float, float]) -> LlrCalibration:
    """Fits a monotone log-likelihood ratio by PAV, interpolated linearly and clipped at ``bounds``.

    The log odds of each block are placed at its mean score.

    Raises:
        CalibrationError: there are no mated pairs.
    """
    from sklearn.isotonic import IsotonicRegression

    centers, target, weight = _weighted(pairs)
    fitted = IsotonicRegression(y_min=0, y_max=1).fit(centers, target, sample_weight=weight)
    level = fitted.predict(centers)
    edges = np.flatnonzero(np.diff(level)) + 1
    scores, llrs = [], []
    for block in np.split(np.arange(len(centers)), edges):
        share = float(np.clip(level[block[0]], 1e-12, 1 - 1e-12))
        if weight[block].sum() > 0:
            scores.append(float(np.average(centers[block], weights=weight[block])))
            llrs.append(float(np.clip(log(share / (1 - share)), *bounds)))
    return LlrCalibration("isotonic", *_thin(scores, llrs))


def _weighted(
    pairs: PairScores,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Score bins as non-mated and as mated samples, with weights that sum to 1 each."""
    if not len(pairs.mated):
        raise CalibrationError(
            "no mated pairs", "give two or more photos of some people, to calibrate evidence"
        )
    centers = bin_centers()
    mated = histogram_of(pairs.mated)
    keep = (mated > 0) | (pairs.histogram > 0)
    centers, mated, other = centers[keep], mated[keep], pairs.histogram[keep]
    order = np.argsort(np.concatenate([centers, centers]), kind="stable")
    target = np.concatenate([np.zeros(len(centers)), np.ones(len(centers))]).astype(np.int64)
    weight = np.concatenate([other / pairs.non_mated, mated / len(pairs.mated)])
    return np.concatenate([centers, centers])[order], target[order], weight[order]


def _thin(
    scores: Sequence[float], llrs: Sequence[float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Removes points inside constant segments, and rounds for storage."""
    points = [
        (round(s, 5), round(v, 4))
        for k, (s, v) in enumerate(zip(scores, llrs, strict=True))
        if k in (0, len(llrs) - 1) or not llrs[k - 1] == v == llrs[k + 1]
    ]
    return tuple(s for s, _ in points), tuple(v for _, v in points)


def posterior(llr: float, prior: float) -> float:
    """Returns the probability of "same person" after the score, by Bayes' rule in odds form.

    Args:
        llr: natural log of the likelihood ratio, mated over non-mated.
        prior: probability of "same person" before the score, in (0, 1).

    Raises:
        OptionError: ``prior`` is outside (0, 1).

    >>> round(posterior(0.0, 0.3), 6)
    0.3
    >>> round(posterior(5.0, 0.01), 4)
    0.5999
    """
    if not 0 < prior < 1:
        raise OptionError(f"a prior of {prior}", "give a probability above 0 and below 1")
    # This form neither overflows nor cancels for large |llr|.
    if llr >= 0:
        return prior / (prior + (1 - prior) * exp(-llr))
    return prior * exp(llr) / (prior * exp(llr) + (1 - prior))


def words(llr: float, *, limits: tuple[float, float] = (-inf, inf)) -> str:
    """Formats the likelihood ratio as a sentence, with two significant digits.

    Args:
        llr: natural log of the likelihood ratio, mated over non-mated.
        limits: lowest and highest value that the data support; at either limit the sentence says
            "at least".

    >>> words(8.52)
    'this score is 5,000 times likelier if these are the same person'
    >>> words(-3.0)
    'this score is 20 times likelier if these are different people'
    >>> words(-3.0, limits=(-3.0, 9.0))
    'this score is at least 20 times likelier if these are different people'
    >>> words(0.01)
    'this score says nothing either way'
    """
    ratio = exp(min(abs(llr), 700.0))
    if ratio < 1.05:
        return "this score says nothing either way"
    who = "these are the same person" if llr > 0 else "these are different people"
    least = "" if limits[0] < llr < limits[1] else "at least "
    return f"this score is {least}{_two_digits(ratio)} times likelier if {who}"


def _two_digits(ratio: float) -> str:
    step = 10.0 ** (floor(log10(ratio)) - 1)
    rounded = round(ratio / step) * step
    if rounded < 10:
        return f"{rounded:.1f}"
    if rounded < 1e9:
        return f"{rounded:,.0f}"
    return f"{rounded:.1e}"
