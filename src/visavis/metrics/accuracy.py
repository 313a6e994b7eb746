"""Verification accuracy, and the k-fold protocol of Labeled Faces in the Wild.

G. B. Huang, M. Ramesh, T. Berg and E. Learned-Miller, "Labeled Faces in the Wild: a database for
studying face recognition in unconstrained environments", UMass Amherst TR 07-49, 2007.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visavis.errors import OptionError
from visavis.metrics.checks import Flags, Scores, as_flags, as_scores
from visavis.types import Record


@dataclass(frozen=True, slots=True, eq=False)
class KFoldAccuracy(Record):
    """Accuracy on each fold at the threshold chosen on the other folds.

    Attributes:
        mean: mean of the folds' accuracies, each fold with equal weight.
        standard_error: standard error of that mean; NaN for a single fold.
        folds: ``(F,)`` int64 fold labels, ascending.
        thresholds: ``(F,)`` float64, the threshold used on each fold.
        accuracies: ``(F,)`` float64.
        pairs: ``(F,)`` int64 pairs in each fold.
    """

    mean: float
    standard_error: float
    folds: NDArray[np.int64]
    thresholds: NDArray[np.float64]
    accuracies: NDArray[np.float64]
    pairs: NDArray[np.int64]


def best_accuracy_threshold(scores: ArrayLike, same: ArrayLike) -> float:
    """Returns the threshold with the highest accuracy, among all real numbers.

    All thresholds between two adjacent scores decide alike, so each interval has one candidate: its
    middle; below the lowest score that score itself, above the highest the next float. If several
    intervals are equally accurate, the middle one in their list is used (the lower of two). This
    favors neither error and does not depend on the order of the pairs.

    Args:
        scores: ``(N,)`` scores.
        same: ``(N,)`` whether each pair is mated.

    Returns:
        A finite threshold.

    Raises:
        OptionError: lengths differ, there is no pair, or a score is not finite.

    >>> best_accuracy_threshold([0.9, 0.4, 0.1], [True, True, False])
    0.25
    """
    values = as_scores(scores, "scores")
    flags = as_flags(same, "labels", len(values))
    order = np.argsort(values, kind="stable")
    return _best(values[order], flags[order])


def _best(ordered: Scores, same: Flags) -> float:
    """``best_accuracy_threshold`` of scores in ascending order."""
    right = np.zeros(len(ordered) + 1, dtype=np.int64)
    # Boundary k decides "same" from position k on: each step rejects one pair of known kind.
    np.cumsum(np.where(same, -1, 1), out=right[1:])
    between = ordered[1:] > ordered[:-1]
    candidates = np.flatnonzero(np.concatenate([[True], between, [True]]))
    right = right[candidates]
    best = candidates[right == right.max()]
    k = int(best[(len(best) - 1) // 2])
    if k == 0:
        return float(ordered[0])
    if k == len(ordered):
        return float(np.nextafter(np.float64(ordered[-1]), np.inf))
    low, high = float(ordered[k - 1]), float(ordered[k])
    middle = low + (high - low) / 2
    return middle if middle > low else high


def kfold_accuracy(scores: ArrayLike, same: ArrayLike, folds: ArrayLike) -> KFoldAccuracy:
    """Computes the mean accuracy over folds by the LFW rule: no fold chooses its own threshold.

    For each fold the threshold is ``best_accuracy_threshold`` of all other folds. Then
    ``mean = sum(p_i) / F`` and ``standard_error = sqrt(sum((p_i - mean)^2) / (F - 1)) / sqrt(F)``
    (Huang et al. 2007, "estimated mean accuracy" and "standard error of the mean").

    Args:
        scores: ``(N,)`` scores.
        same: ``(N,)`` whether each pair is mated.
        folds: ``(N,)`` integer fold labels, at least two different ones.

    Raises:
        OptionError: lengths differ, a score is not finite, or there are fewer than two folds.

    >>> result = kfold_accuracy([0.9, 0.2, 0.8, 0.3, 0.6, 0.7], [1, 0] * 3, [1, 1, 2, 2, 3, 3])
    >>> result.accuracies, round(result.mean, 3), round(result.standard_error, 3)
    (array([1. , 1. , 0.5]), 0.833, 0.167)
    """
    values = as_scores(scores, "scores")
    flags = as_flags(same, "labels", len(values))
    labels = np.asarray(folds)
    if labels.shape != values.shape or labels.dtype.kind not in "iub":
        raise OptionError(
            f"folds of shape {labels.shape} and type {labels.dtype}", "give one integer per pair"
        )
    names, fold = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        raise OptionError("pairs of a single fold", "give at least two folds")
    order = np.argsort(values, kind="stable")
    values, flags, fold = values[order], flags[order], fold[order]
    thresholds = np.empty(len(names))
    accuracies = np.empty(len(names))
    for k in range(len(names)):
        own = fold == k
        thresholds[k] = _best(values[~own], flags[~own])
        accuracies[k] = np.mean((values[own] >= thresholds[k]) == flags[own])
    return KFoldAccuracy(
        mean=float(accuracies.mean()),
        standard_error=standard_error(accuracies),
        folds=names.astype(np.int64),
        thresholds=thresholds,
        accuracies=accuracies,
        pairs=np.bincount(fold).astype(np.int64),
    )


def standard_error(values: ArrayLike) -> float:
    """Standard error of a mean: ``std(values, ddof=1) / sqrt(len(values))``; NaN for one value.

    >>> standard_error([1.0, 2.0, 3.0])
    0.5773502691896258
    """
    array = np.asarray(values, dtype=np.float64)
    if len(array) < 2:
        return float("nan")
    return float(array.std(ddof=1) / np.sqrt(len(array)))


def stratified_folds(same: ArrayLike, folds: int = 10) -> NDArray[np.int64]:
    """Assigns folds to a list without folds: each kind of pair in consecutive runs of equal length.

    The mated pairs are divided in listed order into ``folds`` runs, and so are the non-mated pairs;
    if the number is not divisible, the first runs are longer by one. Deterministic. People may
    occur in several folds.

    Args:
        same: ``(N,)`` whether each pair is mated.
        folds: number of folds, at least 2 and at most the number of pairs of either kind.

    Returns:
        ``(N,)`` int64 fold labels 1 .. folds.

    Raises:
        OptionError: too few pairs of a kind for that many folds.

    >>> stratified_folds([True, True, True, False, False], 2)
    array([1, 1, 2, 1, 2])
    """
    flags = as_flags(same, "labels", len(np.atleast_1d(np.asarray(same))))
    fewest = min(int(flags.sum()), int((~flags).sum()))
    if not 2 <= folds <= fewest:
        raise OptionError(
            f"{folds} folds for {int(flags.sum())} mated and {int((~flags).sum())} non-mated pairs",
            "give at least 2 folds, and at least one pair of either kind a fold",
        )
    label = np.empty(len(flags), dtype=np.int64)
    for kind in (flags, ~flags):
        runs = np.array_split(np.flatnonzero(kind), folds)
        for k, run in enumerate(runs):
            label[run] = k + 1
    return label
