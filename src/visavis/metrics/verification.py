"""Error rates of 1:1 verification, after ISO/IEC 19795-1:2021.

Scores are similarities, higher is closer, and the decision is "same" if ``score >= threshold``.
FMR, the false match rate, is the share of non-mated pairs decided "same" (also called FAR or FPR);
FNMR, the false non-match rate, is the share of mated pairs decided "different" (also called FRR; 1
- FNMR is TAR). All functions are exact, without binning, including ties. Each sorts the scores at
most once and handles tens of millions of float32 scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visavis.errors import OptionError, UnsupportedFmrError
from visavis.metrics import cells
from visavis.metrics.checks import Scores, as_scores
from visavis.types import Record


@dataclass(frozen=True, slots=True, eq=False)
class ErrorRates(Record):
    """Error rates at every observed threshold.

    Attributes:
        thresholds: ``(T,)`` every score that occurs, ascending, then +infinity (always
            "different").
        fmr: ``(T,)`` float64 false match rates, 1 at the first threshold, 0 at the last.
        fnmr: ``(T,)`` float64 false non-match rates, 0 at the first threshold, 1 at the last.
        mated: number of mated pairs.
        non_mated: number of non-mated pairs.
    """

    thresholds: Scores
    fmr: NDArray[np.float64]
    fnmr: NDArray[np.float64]
    mated: int
    non_mated: int


def error_rates(mated: ArrayLike, non_mated: ArrayLike) -> ErrorRates:
    """Computes FMR and FNMR at every observed score.

    ``FMR(t) = #{non-mated >= t} / N`` and ``FNMR(t) = #{mated < t} / M`` (ISO/IEC 19795-1:2021).

    Args:
        mated: ``(M,)`` scores of mated pairs.
        non_mated: ``(N,)`` scores of non-mated pairs.

    Raises:
        OptionError: an array is empty or holds a value that is not finite.

    >>> rates = error_rates([0.5, 0.9], [0.1, 0.5])
    >>> rates.thresholds, rates.fmr, rates.fnmr
    (array([0.1, 0.5, 0.9, inf]), array([1. , 0.5, 0. , 0. ]), array([0. , 0. , 0.5, 1. ]))
    """
    kind = np.result_type(
        as_scores(mated, "mated scores"), as_scores(non_mated, "non-mated scores")
    )
    m = np.sort(np.asarray(mated, dtype=kind))
    n = np.sort(np.asarray(non_mated, dtype=kind))
    first = np.flatnonzero(np.concatenate([[True], n[1:] != n[:-1]]))
    values, others = n[first], np.unique(m)
    # Inserts the mated scores into the sorted non-mated ones, which are not sorted again.
    places = np.searchsorted(values, others, "left")
    new = (places == len(values)) | (values[np.minimum(places, len(values) - 1)] != others)
    places, others = places[new], others[new]
    thresholds = np.append(np.insert(values, places, others), kind.type(np.inf))
    below = np.append(first, len(n))  # non-mated scores below each of values, then below infinity
    refused = np.append(np.insert(first, places, below[places]), len(n))
    fmr = (len(n) - refused) / len(n)
    fnmr = np.searchsorted(m, thresholds, "left") / len(m)
    return ErrorRates(thresholds, fmr, fnmr, len(m), len(n))


def roc_auc(mated: ArrayLike, non_mated: ArrayLike) -> float:
    """Returns the area under the ROC curve: the probability that a mated score exceeds a non-mated
    one.

    ``AUC = (#{m > n} + #{m = n} / 2) / (M N)``, the Mann-Whitney statistic; J. A. Hanley and
    B. J. McNeil, "The meaning and use of the area under a ROC curve", Radiology 143, 1982.

    Args:
        mated: ``(M,)`` scores of mated pairs.
        non_mated: ``(N,)`` scores of non-mated pairs.

    Returns:
        A value in [0, 1]; 0.5 is chance.

    Raises:
        OptionError: an array is empty or holds a value that is not finite.

    >>> roc_auc([0.5, 0.9], [0.1, 0.5])
    0.875
    """
    return cells.auc(_tally(mated, non_mated))


def eer(mated: ArrayLike, non_mated: ArrayLike) -> float:
    """Returns the equal error rate: where FMR and FNMR cross.

    Convention: the intersection of the line FMR = FNMR with the ROC polyline through all observed
        operating points, including "always same" and "always different". Rates between two adjacent
        points are interpolated linearly (a randomized threshold reaches them); if a threshold makes
        both equal, nothing is interpolated. Depends only on the order of scores. Never below the
        convex hull's (ROCCH-EER), which may skip observed points.
    same" and "always different" among them, meets the line FMR = FNMR. Between two neighboring
    points rates are interpolated linearly (a threshold chosen by a coin reaches them); where a
    threshold makes both equal, nothing is interpolated. The value depends on the order of scores
    alone. It is never below the convex hull's (ROCCH-EER), which may skip over observed points.

    Args:
        mated: ``(M,)`` scores of mated pairs.
        non_mated: ``(N,)`` scores of non-mated pairs.

    Returns:
        A rate in [0, 1].

    Raises:
        OptionError: an array is empty or holds a value that is not finite.

    >>> eer([0.3, 0.7, 0.8, 0.9], [0.1, 0.2, 0.4, 0.6])
    0.25
    >>> eer([0.5], [0.5])
    0.5
    """
    return cells.equal_error_rate(_tally(mated, non_mated))


def threshold_at_fmr(mated: ArrayLike, non_mated: ArrayLike, fmr: float) -> float:
    """Returns the lowest observed score at which FMR is at most ``fmr``.

    Args:
        mated: ``(M,)`` scores of mated pairs; may be empty.
        non_mated: ``(N,)`` scores of non-mated pairs.
        fmr: a false match rate, at least 1 / N.

    Returns:
        A score from either array; +infinity if too many non-mated pairs tie at the highest one.

    Raises:
        UnsupportedFmrError: ``fmr`` is below 1 / N.
        OptionError: ``fmr`` is outside (0, 1), or scores are missing or not finite.

    >>> threshold_at_fmr([0.45, 0.9], [0.1, 0.2, 0.3, 0.4], 0.25)
    0.4
    """
    m = as_scores(mated, "mated scores", empty=True)
    n = as_scores(non_mated, "non-mated scores")
    limit = highest_refused(n, fmr)
    above = [part.min() for part in (m[m > limit], n[n > limit]) if part.size]
    return float(min(above)) if above else float("inf")


def fnmr_at_fmr(mated: ArrayLike, non_mated: ArrayLike, fmr: float) -> float:
    """Returns the lowest FNMR among the observed thresholds with an FMR of at most ``fmr``.

    Nothing is interpolated: an operating point with these rates exists.

    Args:
        mated: ``(M,)`` scores of mated pairs.
        non_mated: ``(N,)`` scores of non-mated pairs.
        fmr: a false match rate, at least 1 / N.

    Returns:
        A rate in [0, 1].

    Raises:
        UnsupportedFmrError: ``fmr`` is below 1 / N.
        OptionError: ``fmr`` is outside (0, 1), or scores are missing or not finite.

    >>> fnmr_at_fmr([0.25, 0.9], [0.1, 0.2, 0.3, 0.4], 0.25)
    0.5
    """
    m = as_scores(mated, "mated scores")
    n = as_scores(non_mated, "non-mated scores")
    return float(np.count_nonzero(m <= highest_refused(n, fmr)) / len(m))


def supported_fmrs(non_mated: int) -> tuple[float, ...]:
    """Returns the powers of ten from 1e-1 down to the lowest that ``non_mated`` pairs support.

    The lowest rate may be based on one error: read its interval, too.

    >>> supported_fmrs(3000)
    (0.1, 0.01, 0.001)
    """
    # float("1e-3") rather than 10.0**-3: the nearest double of the decimal, on every machine.
    rates = [float(f"1e-{k}") for k in range(1, 18)]
    return tuple(rate for rate in rates if _allowed(rate, non_mated) >= 1)


def fmr_name(fmr: float) -> str:
    """Formats a false match rate for reports and JSON.

    >>> fmr_name(0.001), fmr_name(0.0005), fmr_name(0.25)
    ('1e-3', '5e-4', '2.5e-1')
    """
    mantissa, exponent = f"{fmr:.5e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def det_points(
    mated: ArrayLike, non_mated: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the corners of the ROC and DET curves.

    A. Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997.
    Omits points on straight lines between corners, so that a curve of tens of millions of scores
    has at most three points per mated score.

    Args:
        mated: ``(M,)`` scores of mated pairs.
        non_mated: ``(N,)`` scores of non-mated pairs.

    Returns:
        FMR and FNMR, ``(P,)`` float64 each, from (1, 0) to (0, 1).

    Raises:
        OptionError: an array is empty or holds a value that is not finite.

    >>> det_points([0.5, 0.9], [0.1, 0.5])
    (array([1. , 0.5, 0. , 0. ]), array([0. , 0. , 0.5, 1. ]))
    """
    fmr, fnmr = cells.boundary_rates(_tally(mated, non_mated))
    moved = np.concatenate([[True], (np.diff(fmr) != 0) | (np.diff(fnmr) != 0)])
    fmr, fnmr = fmr[moved], fnmr[moved]
    # Which of the two rates each step changes; between two steps that change the same one alone,
    # the point is no corner.
    flat, steep = np.diff(fnmr) == 0, np.diff(fmr) == 0
    middle = (flat[1:] & flat[:-1]) | (steep[1:] & steep[:-1])
    corner = np.concatenate([[True], ~middle, [True]])
    return fmr[corner], fnmr[corner]


def _tally(mated: ArrayLike, non_mated: ArrayLike) -> cells.CellCounts:
    return cells.tally(as_scores(mated, "mated scores"), as_scores(non_mated, "non-mated scores"))


def _allowed(fmr: float, pairs: int) -> int:
    """Returns the largest number of errors whose share of ``pairs``, as a float, is at most
    ``fmr``."""
    count = floor(fmr * pairs)  # off by one at most, where the product was rounded
    if count / pairs > fmr:
        return count - 1
    return count + 1 if (count + 1) / pairs <= fmr else count


def highest_refused(
    scores: Scores, rate: float, *, name: str = "false match rate", of: str = "non-mated pairs"
) -> np.float64:
    """Returns the score v such that the share of scores at a threshold is at most ``rate`` exactly
    for thresholds above v.

    Args:
        scores: ``(N,)`` non-mated scores.
        rate: a share of at least 1 / N.
        name: its name for messages.
        of: what the scores are of, for messages.

    Raises:
        OptionError: ``rate`` is outside (0, 1).
        UnsupportedFmrError: ``rate`` is below 1 / N.
    """
    if not 0 < rate < 1:
        raise OptionError(f"a {name} of {rate}", "give one in (0, 1), such as 1e-3")
    allowed = _allowed(rate, len(scores))
    if allowed < 1:
        raise UnsupportedFmrError(
            f"a {name} of {rate:g} from {len(scores):,} {of}",
            f"give at least {ceil(round(1 / max(rate, 1e-30), 6)):,} {of}, or ask for "
            f"{1 / len(scores):.2g} or more",
        )
    place = len(scores) - 1 - allowed
    # np.float64: a Python float would be rounded to float32 scores before comparing with them.
    return np.float64(np.partition(scores, place)[place])
