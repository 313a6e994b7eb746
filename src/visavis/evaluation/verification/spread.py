"""Intervals around all metrics of a score file, from one bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.evaluation.scores.table import ScoreFile
from visavis.evaluation.verification.records import Interval
from visavis.metrics import cells
from visavis.metrics.intervals import Resampler, Weights, bootstrap, proportion_interval
from visavis.metrics.likelihood import llr_costs, min_cllr_of
from visavis.metrics.verification import fmr_name

LEVEL: Final = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Intervals at one level.

    Attributes:
        metrics: metric name to interval.
        fmr: interval of the FMR at each fixed threshold.
        fnmr: interval of the FNMR at each fixed threshold.
        level: their coverage.
        resampled: ``people`` or ``pairs``.
        people: number of people drawn; 0 where pairs were.
    """

    metrics: dict[str, Interval]
    fmr: tuple[Interval, ...]
    fnmr: tuple[Interval, ...]
    level: float
    resampled: str
    people: int


def spread(
    scores: ScoreFile,
    *,
    fmrs: Sequence[float],
    thresholds: Sequence[float],
    right: NDArray[np.bool_] | None,
    replicates: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> Spread:
    """Bootstrap over people where the score file names them, else over pairs.

    Thresholds that were fixed beforehand stay fixed; those that a metric picks (FNMR at an FMR,
    EER) are picked anew in each replicate; the folds' thresholds of the accuracy are held.

    Args:
        scores: the score file, with scored pairs of both kinds.
        fmrs: rates for FNMR at FMR.
        thresholds: fixed thresholds.
        right: ``(N,)`` whether each pair is decided right, or ``None``.
        replicates: how many to draw.
        seed: decides them.
        progress: called with (done, total).
    """
    first, second = scores.scored & scores.same, scores.scored & ~scores.same
    mated, non_mated = scores.score[first], scores.score[second]
    assigned = cells.assign(mated, non_mated)
    resampler = _resampler(scores, first, second)
    # Statistics that are a mean over pairs of one kind: a matrix product gives all of them.
    means_m = [(mated < t).astype(np.float64) for t in thresholds]
    means_n = [(non_mated >= t).astype(np.float64) for t in thresholds]
    has_llr = scores.llr is not None and not np.isnan(scores.llr[scores.scored]).any()
    if scores.llr is not None and has_llr:
        means_m.append(llr_costs(scores.llr[first], mated=True))
        means_n.append(llr_costs(scores.llr[second], mated=False))
    if right is not None:
        means_m.append(right[first].astype(np.float64))
        means_n.append(right[second].astype(np.float64))
    columns_m = np.stack(means_m, axis=1) if means_m else np.zeros((len(mated), 0))
    columns_n = np.stack(means_n, axis=1) if means_n else np.zeros((len(non_mated), 0))
    share = len(mated) / (len(mated) + len(non_mated))
    fixed = len(thresholds)

    def statistic(weights_m: Weights, weights_n: Weights) -> list[float]:
        counts = assigned.count(weights_m, weights_n)
        m = weights_m @ columns_m / weights_m.sum()
        n = weights_n @ columns_n / weights_n.sum()
        values = [cells.auc(counts), cells.equal_error_rate(counts), min_cllr_of(counts)]
        values += [cells.false_non_matches(counts, fmr) for fmr in fmrs]
        values += [*n[:fixed], *m[:fixed]]
        values += [(m[fixed] + n[fixed]) / 2] if has_llr else []
        values += [share * m[-1] + (1 - share) * n[-1]] if right is not None else []
        return values

    ends = bootstrap(
        statistic, resampler, replicates=replicates, level=LEVEL, seed=seed, progress=progress
    )
    names = ["auc", "eer", "min_cllr", *(f"fnmr_at_fmr[{fmr_name(fmr)}]" for fmr in fmrs)]
    spots = 2 * fixed
    names += [""] * spots + ["cllr"] * has_llr + ["accuracy"] * (right is not None)
    observed = statistic(np.ones(len(mated), np.int64), np.ones(len(non_mated), np.int64))
    trials_m = _trials(resampler.mated_people, len(mated))
    trials_n = _trials(resampler.non_mated_people, len(non_mated))
    place = 3 + len(fmrs)
    bounded: list[Interval] = []
    for k, (value, (low, high)) in enumerate(zip(observed, ends.tolist(), strict=True)):
        if 3 <= k < place or place + fixed <= k < place + spots:
            bounded.append(_unseen(value, low, high, trials_m))
        elif place <= k < place + fixed:
            bounded.append(_unseen(value, low, high, trials_n))
        elif names[k] == "eer":
            bounded.append(_unseen(value, low, high, min(trials_m, trials_n)))
        else:
            bounded.append((low, high))
    metrics = {name: ends for name, ends in zip(names, bounded, strict=True) if name}
    return Spread(
        metrics=metrics,
        fmr=tuple(bounded[place : place + fixed]),
        fnmr=tuple(bounded[place + fixed : place + spots]),
        level=LEVEL,
        resampled="people" if resampler.people else "pairs",
        people=resampler.people,
    )


def _unseen(value: float, low: float, high: float, trials: int) -> Interval:
    """No errors seen: every replicate sees none, too, and the exact binomial bound is used."""
    if value == 0 and high == 0:
        return 0.0, proportion_interval(0, trials, level=LEVEL)[1]
    return low, high


def _trials(people: NDArray[np.int64] | None, pairs: int) -> int:
    """Independent trials at most: different people, or pairs of people, behind the pairs."""
    return pairs if people is None else len(np.unique(np.sort(people, axis=1), axis=0))


def _resampler(scores: ScoreFile, first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Resampler:
    counts = int(first.sum()), int(second.sum())
    if scores.person_a is None or scores.person_b is None:
        return Resampler(*counts)
    everyone = np.concatenate([scores.person_a, scores.person_b])
    if (everyone == "").any():
        return Resampler(*counts)
    _, number = np.unique(everyone.astype(np.str_), return_inverse=True)
    people = number.reshape(2, -1).T.astype(np.int64)
    return Resampler(*counts, people[first], people[second])
