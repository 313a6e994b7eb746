"""From a score file to its metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.errors import DataError
from visavis.evaluation.scores.table import ScoreFile
from visavis.evaluation.verification.groups import by_group
from visavis.evaluation.verification.records import Fold, Interval, PointCheck, Summary
from visavis.evaluation.verification.spread import Spread, spread
from visavis.metrics.accuracy import kfold_accuracy, standard_error, stratified_folds
from visavis.metrics.likelihood import cllr, min_cllr
from visavis.metrics.verification import (
    eer,
    fmr_name,
    fnmr_at_fmr,
    roc_auc,
    supported_fmrs,
    threshold_at_fmr,
)

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
    """All metrics of a score file.

    Failed pairs have no score and enter no metric but two: ``failures`` counts them, and
    ``accuracy_failures_different`` decides them "different". A list without folds is cut into ten
    by ``stratified_folds``, or fewer where a kind has fewer pairs.

    Args:
        scores: the score file.
        replicates: bootstrap replicates; 0 for no intervals.
        seed: decides the replicates.
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
        settings=scores.settings,
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
        # A failed pair is right if it is non-mated, at every threshold: the choice stays the same.
        failed = ~scored & (fold == label)
        right = round(accuracy * pairs) + int((failed & ~scores.same).sum())
        rows.append(Fold(label, pairs, threshold, accuracy, right / (pairs + int(failed.sum()))))
    return tuple(rows)


def _right(
    scores: ScoreFile, fold: NDArray[np.int64] | None, folds: tuple[Fold, ...]
) -> NDArray[np.bool_] | None:
    """``(N,)`` whether each scored pair is decided right at its fold's threshold."""
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
    """The threshold at which groups are compared: the shipped one for 1e-3, or this list's own."""
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
