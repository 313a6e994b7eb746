"""Compact representation of scores for error rates: the order of mated and non-mated scores.

The J distinct mated scores cut the score axis into 2J + 1 *cells*: each mated score itself (odd
cells) and each open interval beside one (even cells). FNMR changes only at mated scores, so the
number of mated and of non-mated scores in each cell decides every error trade-off exactly: AUC,
EER, FNMR at an FMR, minimum Cllr, and the corners of ROC and DET. Forty million non-mated scores
shrink to as many numbers as there are mated ones, and a bootstrap replicate only recounts cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from visavis.metrics.checks import Scores

Counts: TypeAlias = NDArray[np.int64] | NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class CellCounts:
    """Number of pairs of each kind in each cell, cells in ascending order of score.

    Attributes:
        mated: ``(K,)`` counts or weights of mated pairs.
        non_mated: ``(K,)`` counts or weights of non-mated pairs.
    """

    mated: Counts
    non_mated: Counts


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Cell of each pair.

    Attributes:
        mated: ``(M,)`` int32 cell of each mated pair.
        non_mated: ``(N,)`` int32 cell of each non-mated pair.
        edges: ``(J,)`` the distinct mated scores, ascending; cell 2j + 1 is score ``edges[j]``.
    """

    mated: NDArray[np.int32]
    non_mated: NDArray[np.int32]
    edges: Scores

    def count(
        self, mated: NDArray[Any] | None = None, non_mated: NDArray[Any] | None = None
    ) -> CellCounts:
        """Sums the pairs of each cell by weight (default 1)."""
        size = 2 * len(self.edges) + 1
        return CellCounts(
            np.bincount(self.mated, mated, size), np.bincount(self.non_mated, non_mated, size)
        )


def assign(mated: Scores, non_mated: Scores) -> Cells:
    """Returns the cell of every pair.

    >>> assign(np.array([0.5, 0.9]), np.array([0.1, 0.5, 0.7])).non_mated
    array([0, 1, 2], dtype=int32)
    """
    edges, where = np.unique(mated, return_inverse=True)
    # A score equal to edge j has j edges below it and j + 1 at or below it: cell 2j + 1.
    cell = np.searchsorted(edges, non_mated, "left") + np.searchsorted(edges, non_mated, "right")
    return Cells((2 * where + 1).astype(np.int32), cell.astype(np.int32), edges)


def tally(mated: Scores, non_mated: Scores) -> CellCounts:
    """Returns ``assign(mated, non_mated).count()``, with one sort of each array.

    >>> tally(np.array([0.5, 0.9]), np.array([0.1, 0.5, 0.7])).non_mated
    array([1, 1, 1, 0, 0])
    """
    edges, in_mated = np.unique(mated, return_counts=True)
    ordered = np.sort(non_mated)
    bounds = np.empty(2 * len(edges) + 2, dtype=np.int64)
    bounds[0], bounds[-1] = 0, len(ordered)
    bounds[1:-1:2] = np.searchsorted(ordered, edges, "left")
    bounds[2:-1:2] = np.searchsorted(ordered, edges, "right")
    counts = np.zeros(2 * len(edges) + 1, dtype=np.int64)
    counts[1::2] = in_mated
    return CellCounts(counts, np.diff(bounds))


def boundary_rates(counts: CellCounts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns FMR and FNMR, ``(K + 1,)`` each, of deciding "same" from cell k upwards, k = 0 .. K.

    >>> boundary_rates(CellCounts(np.array([0, 2]), np.array([1, 3])))
    (array([1.  , 0.75, 0.  ]), array([0., 0., 1.]))
    """
    below = np.concatenate([[0], np.cumsum(counts.non_mated)])
    missed = np.concatenate([[0], np.cumsum(counts.mated)])
    return (below[-1] - below) / below[-1], missed / missed[-1]


def auc(counts: CellCounts) -> float:
    """Area under the ROC curve; see ``roc_auc``."""
    below = np.cumsum(counts.non_mated) - counts.non_mated
    # Doubled, so that ties (one half) stay integers.
    wins = counts.mated * (2 * below + counts.non_mated)
    total = float(counts.mated.sum()) * float(counts.non_mated.sum())
    return float(wins.sum(dtype=np.float64) / (2 * total))


def equal_error_rate(counts: CellCounts) -> float:
    """Equal error rate; see ``eer``."""
    fmr, fnmr = boundary_rates(counts)
    k = int(np.argmax(fmr <= fnmr))  # never 0: there FMR is 1 and FNMR 0
    before, after = fmr[k - 1] - fnmr[k - 1], fmr[k] - fnmr[k]
    share = before / (before - after)
    return float(fmr[k - 1] + share * (fmr[k] - fmr[k - 1]))


def false_non_matches(counts: CellCounts, fmr: float) -> float:
    """Lowest FNMR among the boundaries with an FMR of at most ``fmr``."""
    rates, fnmr = boundary_rates(counts)
    return float(fnmr[np.argmax(rates <= fmr)])
