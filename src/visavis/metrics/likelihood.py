"""Quality of likelihood ratios: Cllr, and its minimum over monotone calibrations.

N. Brümmer and J. du Preez, "Application-independent evaluation of speaker detection", Computer
Speech and Language 20(2-3), 2006. LLRs are natural logarithms; costs are in bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visavis.errors import OptionError
from visavis.metrics import cells
from visavis.metrics.checks import Scores, as_scores
from visavis.types import Record


@dataclass(frozen=True, slots=True, eq=False)
class PavLlr(Record):
    """A step function from score to LLR.

    Attributes:
        scores: ``(S,)`` ascending scores at which a step begins; the first is the lowest score.
        llrs: ``(S,)`` float64 natural log-likelihood ratio from there up to the next,
            non-decreasing; -infinity where only non-mated scores occur, +infinity where only mated
            ones do.
    """

    scores: Scores
    llrs: NDArray[np.float64]


def cllr(mated_llr: ArrayLike, non_mated_llr: ArrayLike) -> float:
    """Returns the cost of log-likelihood ratios, in bits: 0 is perfect, 1 equals no information.

    ``Cllr = mean(log2(1 + 1/LR)) / 2`` over mated pairs ``+ mean(log2(1 + LR)) / 2`` over
    non-mated ones (Brümmer and du Preez 2006). Both kinds weigh the same, however many there are.

    Args:
        mated_llr: ``(M,)`` natural-log likelihood ratios of mated pairs; may be infinite.
        non_mated_llr: ``(N,)`` the same for non-mated pairs.

    Returns:
        A cost of 0 or more; infinite if a pair with an infinite LLR is of the other kind.

    Raises:
        OptionError: an array is empty, holds NaN, or is not one-dimensional.

    >>> cllr([0.0], [0.0])
    1.0
    >>> round(cllr([2.0, 5.0], [-3.0, 1.0]), 4)
    0.5394
    """
    return float(
        (llr_costs(mated_llr, mated=True).mean() + llr_costs(non_mated_llr, mated=False).mean()) / 2
    )


def llr_costs(llr: ArrayLike, *, mated: bool) -> NDArray[np.float64]:
    """Returns each pair's cost: ``log2(1 + 1/LR)`` if mated, ``log2(1 + LR)`` if not, in bits.

    Args:
        llr: ``(N,)`` natural-log likelihood ratios; may be infinite.
        mated: whether the pairs are mated.

    Raises:
        OptionError: empty, NaN, or not one-dimensional.

    >>> llr_costs([0.0, -np.inf], mated=False)
    array([1., 0.])
    """
    values = np.asarray(llr, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or np.isnan(values).any():
        raise OptionError(
            f"{values.size} likelihood ratios of shape {values.shape}, "
            f"{int(np.isnan(values).sum())} of them NaN",
            "give one number a pair, and leave out pairs that failed",
        )
    costs: NDArray[np.float64] = np.logaddexp(0.0, -values if mated else values) / np.log(2.0)
    return costs


def min_cllr(mated: ArrayLike, non_mated: ArrayLike) -> float:
    """Returns Cllr after the best non-decreasing map from score to LLR: the cost of discrimination.

    The map is the pool-adjacent-violators fit on these scores (Brümmer and du Preez 2006), so
    ``cllr - min_cllr`` is the loss by calibration. Depends only on the order of the scores.

    Args:
        mated: ``(M,)`` scores (or LLRs) of mated pairs.
        non_mated: ``(N,)`` scores of non-mated pairs.

    Returns:
        A cost in [0, 1] bits.

    Raises:
        OptionError: an array is empty or holds a value that is not finite.

    >>> min_cllr([0.8, 0.9], [0.1, 0.2])
    0.0
    >>> min_cllr([0.5], [0.5])
    1.0
    """
    return min_cllr_of(
        cells.tally(as_scores(mated, "mated scores"), as_scores(non_mated, "non-mated scores"))
    )


def min_cllr_of(counts: cells.CellCounts) -> float:
    """``min_cllr`` of counted or weighted cells; see ``visavis.metrics.cells``."""
    kept = (counts.mated + counts.non_mated) > 0
    mated, non_mated = counts.mated[kept], counts.non_mated[kept]
    llr = _pav(mated, non_mated)
    # Cells without pairs have no cost, though their LLR may be infinite.
    has, lacks = mated > 0, non_mated > 0
    first = llr_costs(llr[has], mated=True) @ (mated[has] / mated.sum())
    second = llr_costs(llr[lacks], mated=False) @ (non_mated[lacks] / non_mated.sum())
    return float((first + second) / 2)


def pav_llr(mated: ArrayLike, non_mated: ArrayLike) -> PavLlr:
    """Fits the best non-decreasing map from score to LLR.

    Pool adjacent violators on the pooled scores gives the share of mated scores, p, on each step;
    ``LLR = ln(p / (1 - p)) - ln(M / N)``.

    Args:
        mated: ``(M,)`` scores of mated pairs.
        non_mated: ``(N,)`` scores of non-mated pairs.

    Raises:
        OptionError: an array is empty or holds a value that is not finite.

    >>> fit = pav_llr([0.4, 0.8], [0.1, 0.6])
    >>> fit.scores, fit.llrs
    (array([0.1, 0.4, 0.8]), array([-inf,   0.,  inf]))
    """
    m = as_scores(mated, "mated scores")
    n = as_scores(non_mated, "non-mated scores")
    scores, where = np.unique(np.concatenate([m, n]), return_inverse=True)
    llr = _pav(
        np.bincount(where[: len(m)], minlength=len(scores)),
        np.bincount(where[len(m) :], minlength=len(scores)),
    )
    begins = np.concatenate([[True], llr[1:] != llr[:-1]])
    return PavLlr(scores[begins], llr[begins])


def _pav(mated: NDArray[Any], non_mated: NDArray[Any]) -> NDArray[np.float64]:
    """LLR of each group of scores, ascending; every group holds a pair."""
    from scipy.optimize import isotonic_regression

    together = mated + non_mated
    pooled = isotonic_regression(mated / together, weights=together)
    # Uses the counts of each block instead of its mean: p / (1 - p) loses all digits near p = 1.
    sizes = np.diff(pooled.blocks)
    block = np.repeat(np.arange(len(sizes)), sizes)
    first = np.bincount(block, mated)[block]
    second = np.bincount(block, non_mated)[block]
    prior = np.log(mated.sum()) - np.log(non_mated.sum())
    with np.errstate(divide="ignore"):
        llr: NDArray[np.float64] = np.log(first) - np.log(second) - prior
    return llr
