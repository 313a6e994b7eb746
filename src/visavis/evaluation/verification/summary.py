"""Computes the metrics of a score file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.errors import DataError
from visavis.evaluation.scores.table import ScoreFile
from visavis.evaluation.verification.records import Fold, Group, Interval, PointCheck, Summary
from visavis.metrics import cells
from visavis.metrics.accuracy import kfold_accuracy, standard_error, stratified_folds
from visavis.metrics.intervals import Resampler, Weights, bootstrap, proportion_interval
from visavis.metrics.likelihood import cllr, llr_costs, min_cllr, min_cllr_of
from visavis.metrics.verification import (
    eer,
    fmr_name,
    fnmr_at_fmr,
    roc_auc,
    supported_fmrs,
    threshold_at_fmr,
)

LEVEL: Final = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Confidence intervals at one level.

    Attributes:
        metrics: interval by metric name.
        fmr: interval of the FMR at each fixed threshold.
        fnmr: interval of the FNMR at each fixed threshold.
        level: coverage.
        resampled: ``people`` or ``pairs``.
        people: number of people; 0 if pairs were resampled.
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
    """Bootstraps over people if the score file names them, else over pairs.

    Fixed thresholds stay fixed; those that a metric selects (FNMR at an FMR, EER) are selected
    again in each replicate; the thresholds of the accuracy folds stay.

    Args:
        scores: the score file, with scored pairs of both kinds.
        fmrs: rates for FNMR at FMR.
        thresholds: fixed thresholds.
        right: ``(N,)`` whether each pair is decided correctly, or ``None``.
        replicates: number of replicates.
        seed: random seed.
        progress: called with (done, total).
    """
    first, second = scores.scored & scores.same, scores.scored & ~scores.same
    mated, non_mated = scores.score[first], scores.score[second]
    assigned = cells.assign(mated, non_mated)
    resampler = _resampler(scores, first, second)
    # Means over pairs of one kind, all by one matrix product.
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
    """Without errors, all replicates have none, and the exact binomial bound is used."""
    if value == 0 and high == 0:
        return 0.0, proportion_interval(0, trials, level=LEVEL)[1]
    return low, high


def _trials(people: NDArray[np.int64] | None, pairs: int) -> int:
    """Upper limit of independent trials: people, or pairs of people."""
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


FOLDS: Final = 10
"""Folds for a list that has none."""

_NAN: Final = float("nan")


def summarize(
    scores: ScoreFile,
    *,
    replicates: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Computes all metrics of a score file.

    Failed pairs have no score and are in no metric except ``failures``, which counts them, and
    ``accuracy_failures_different``, which decides them "different". A list without folds is divided
    into ten by ``stratified_folds``, or fewer if a kind has fewer pairs.

    Args:
        scores: the score file.
        replicates: bootstrap replicates; 0: no intervals.
        seed: random seed.
        progress: called with (done, total) replicates.

    Raises:
        DataError: no mated or no non-mated pair has a score.
        OptionError: between 1 and 19 replicates.
    """
    scored = scores.scored
    mated = scores.score[scored & scores.same]
    non_mated = scores.score[scored & ~scores.same]
    if not len(mated) or not len(non_mated):
        raise DataError(
            f"{scores.about.protocol or 'a score file'}: {len(mated)} mated and {len(non_mated)} "
            f"non-mated pairs with a score among {len(scores)}",
            "error rates need some of both",
        )
    fold, folds_from = _folds(scores)
    folds = _accuracy(scores, fold)
    accuracies = [f.accuracy for f in folds]
    with_failures = [f.accuracy_failures_different for f in folds]
    fmrs = supported_fmrs(len(non_mated))
    points = scores.about.operating_points
    around = None
    if replicates:
        around = spread(
            scores,
            fmrs=fmrs,
            thresholds=[point.threshold for point in points],
            right=_right(scores, fold, folds),
            replicates=replicates,
            seed=seed,
            progress=progress,
        )
    shared = _NAN
    if scores.group is not None:
        shared = _shared_threshold(scores, fmrs, mated, non_mated)
    return Summary(
        protocol=scores.about.protocol,
        model=scores.model,
        model_sha256=scores.model_sha256,
        pipeline_id=scores.pipeline_id,
        calibration=scores.about.calibration,
        pairs=len(scores),
        mated=int(scores.same.sum()),
        non_mated=int((~scores.same).sum()),
        failures=int((~scored).sum()),
        failure_reasons=dict(Counter(scores.failure[~scored].tolist()).most_common()),
        scored_mated=len(mated),
        scored_non_mated=len(non_mated),
        accuracy=float(np.mean(accuracies)) if folds else _NAN,
        accuracy_se=standard_error(accuracies),
        accuracy_failures_different=float(np.mean(with_failures)) if folds else _NAN,
        accuracy_failures_different_se=standard_error(with_failures),
        accuracy_threshold=float(np.median([f.threshold for f in folds])) if folds else _NAN,
        folds=folds,
        folds_from=folds_from,
        auc=roc_auc(mated, non_mated),
        eer=eer(mated, non_mated),
        fnmr_at_fmr={fmr_name(fmr): fnmr_at_fmr(mated, non_mated, fmr) for fmr in fmrs},
        thresholds={fmr_name(fmr): threshold_at_fmr(mated, non_mated, fmr) for fmr in fmrs},
        cllr=_cllr(scores),
        min_cllr=min_cllr(mated, non_mated),
        intervals=around.metrics if around else {},
        level=around.level if around else _NAN,
        replicates=replicates,
        resampled=around.resampled if around else "",
        people=around.people if around else 0,
        operating_points=_check_points(scores, mated, non_mated, around),
        groups=by_group(scores, shared),
        group_threshold=shared,
        about=scores.about,
    )


def _folds(scores: ScoreFile) -> tuple[NDArray[np.int64] | None, str]:
    if scores.fold is not None and len(np.unique(scores.fold)) > 1:
        return scores.fold, "the folds of the list"
    fewest = min(int(scores.same.sum()), int((~scores.same).sum()))
    if fewest < 2:
        return None, "no folds: fewer than two pairs of a kind"
    count = min(FOLDS, fewest)
    return (
        stratified_folds(scores.same, count),
        f"{count} folds: the list has none, so its mated and its non-mated pairs were each cut, "
        "in listed order, into runs of equal length; a person may recur in several folds",
    )


def _accuracy(scores: ScoreFile, fold: NDArray[np.int64] | None) -> tuple[Fold, ...]:
    scored = scores.scored
    if fold is None or len(np.unique(fold[scored])) < 2:
        return ()
    result = kfold_accuracy(scores.score[scored], scores.same[scored], fold[scored])
    rows = []
    for label, pairs, threshold, accuracy in zip(
        result.folds.tolist(),
        result.pairs.tolist(),
        result.thresholds.tolist(),
        result.accuracies.tolist(),
        strict=True,
    ):
        # A failed pair is correct if it is non-mated, at every threshold, so the choice is
        # unchanged.
        failed = ~scored & (fold == label)
        right = round(accuracy * pairs) + int((failed & ~scores.same).sum())
        rows.append(Fold(label, pairs, threshold, accuracy, right / (pairs + int(failed.sum()))))
    return tuple(rows)


def _right(
    scores: ScoreFile, fold: NDArray[np.int64] | None, folds: tuple[Fold, ...]
) -> NDArray[np.bool_] | None:
    """``(N,)`` whether each scored pair is decided correctly at its fold's threshold."""
    if fold is None or not folds:
        return None
    threshold = np.full(len(scores), np.nan)
    for one in folds:
        threshold[fold == one.fold] = one.threshold
    right: NDArray[np.bool_] = (scores.score >= threshold) == scores.same
    return right


def _cllr(scores: ScoreFile) -> float:
    scored = scores.scored
    if scores.llr is None or np.isnan(scores.llr[scored]).any():
        return _NAN
    return cllr(scores.llr[scored & scores.same], scores.llr[scored & ~scores.same])


def _shared_threshold(
    scores: ScoreFile,
    fmrs: tuple[float, ...],
    mated: NDArray[np.float64],
    non_mated: NDArray[np.float64],
) -> float:
    """Common threshold of groups: the shipped one for 1e-3, or this list's own."""
    for point in scores.about.operating_points:
        if np.isclose(point.target_fmr, 1e-3):
            return point.threshold
    usable = [fmr for fmr in fmrs if fmr >= 1e-3]
    return threshold_at_fmr(mated, non_mated, usable[-1]) if usable else _NAN


def _check_points(
    scores: ScoreFile,
    mated: NDArray[np.float64],
    non_mated: NDArray[np.float64],
    around: Spread | None,
) -> tuple[PointCheck, ...]:
    rows = []
    for k, point in enumerate(scores.about.operating_points):
        false_matches = int((non_mated >= point.threshold).sum())
        fmr = false_matches / len(non_mated)
        fmr_ci: Interval = around.fmr[k] if around else (_NAN, _NAN)
        fnmr_ci: Interval = around.fnmr[k] if around else (_NAN, _NAN)
        claimed_high = np.nanmax([point.fmr_ci[1], point.fmr])
        verdict = "exceeded"
        if false_matches == 0 and claimed_high * len(non_mated) < 1:
            verdict = "too few pairs"
        elif fmr <= claimed_high:
            verdict = "holds"
        elif not fmr_ci[0] > claimed_high:
            verdict = "within chance"
        rows.append(
            PointCheck(
                target_fmr=point.target_fmr,
                threshold=point.threshold,
                claimed_fmr=point.fmr,
                claimed_fmr_ci=point.fmr_ci,
                fmr=fmr,
                fmr_ci=fmr_ci,
                false_matches=false_matches,
                non_mated=len(non_mated),
                fnmr=float((mated < point.threshold).mean()),
                fnmr_ci=fnmr_ci,
                verdict=verdict,
            )
        )
    return tuple(rows)


def by_group(scores: ScoreFile, threshold: float) -> tuple[Group, ...]:
    """Returns one row per group, sorted by name; empty without groups.

    Users get one threshold, so all groups are compared at the same one. Separate thresholds would
    hide differences.

    Args:
        scores: the score file.
        threshold: the common threshold; NaN to leave FMR and FNMR out.
    """
    if scores.group is None:
        return ()
    rows = []
    for name in sorted(set(scores.group.tolist())):
        own = scores.group == name
        scored = own & scores.scored
        mated = scores.score[scored & scores.same]
        non_mated = scores.score[scored & ~scores.same]
        both = len(mated) > 0 and len(non_mated) > 0
        fmr, fmr_ci = _share(int((non_mated >= threshold).sum()), len(non_mated), threshold)
        fnmr, fnmr_ci = _share(int((mated < threshold).sum()), len(mated), threshold)
        rows.append(
            Group(
                group=name,
                pairs=int(own.sum()),
                failures=int((own & ~scores.scored).sum()),
                mated=len(mated),
                non_mated=len(non_mated),
                auc=roc_auc(mated, non_mated) if both else _NAN,
                eer=eer(mated, non_mated) if both else _NAN,
                fmr=fmr,
                fmr_ci=fmr_ci,
                fnmr=fnmr,
                fnmr_ci=fnmr_ci,
            )
        )
    return tuple(rows)


def _share(events: int, trials: int, threshold: float) -> tuple[float, Interval]:
    if trials == 0 or np.isnan(threshold):
        return _NAN, (_NAN, _NAN)
    return events / trials, proportion_interval(events, trials)
