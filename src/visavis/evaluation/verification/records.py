"""Result records of verification evaluations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from visavis.evaluation.scores.table import About
from visavis.types import Record

Interval: TypeAlias = tuple[float, float]
"""Low and high end; NaN if undefined."""


@dataclass(frozen=True, slots=True)
class Fold(Record):
    """Accuracy on one fold.

    Attributes:
        fold: label.
        pairs: number of scored pairs.
        threshold: chosen by the other folds.
        accuracy: share of correct decisions among its scored pairs.
        accuracy_failures_different: the same over all its pairs, with failed ones decided
            "different".
    """

    fold: int
    pairs: int
    threshold: float
    accuracy: float
    accuracy_failures_different: float


@dataclass(frozen=True, slots=True)
class PointCheck(Record):
    """A shipped operating point, measured on this list.

    Attributes:
        target_fmr: the requested rate.
        threshold: the shipped threshold.
        claimed_fmr: FMR according to the calibration.
        claimed_fmr_ci: its interval.
        fmr: the FMR on this list.
        fmr_ci: its interval.
        false_matches: non-mated pairs at or above the threshold.
        non_mated: scored non-mated pairs.
        fnmr: the FNMR on this list.
        fnmr_ci: its interval.
        verdict: ``holds`` if the measured FMR is not above the claimed interval; ``within chance``
            if it is, but the intervals overlap; ``too few pairs`` if there is no false match and
            fewer than one is expected; else ``exceeded``.
    """

    target_fmr: float
    threshold: float
    claimed_fmr: float
    claimed_fmr_ci: Interval
    fmr: float
    fmr_ci: Interval
    false_matches: int
    non_mated: int
    fnmr: float
    fnmr_ci: Interval
    verdict: str


@dataclass(frozen=True, slots=True)
class Group(Record):
    """Error rates of one group.

    Attributes:
        group: its name.
        pairs: pairs, failed ones included.
        failures: pairs without a score.
        mated: scored mated pairs.
        non_mated: scored non-mated pairs.
        auc: area under the group's ROC curve; NaN unless it has both kinds.
        eer: the group's equal error rate; NaN unless it has both kinds.
        fmr: FMR at the common threshold; NaN without non-mated pairs.
        fmr_ci: its exact binomial interval, over pairs.
        fnmr: FNMR at the same threshold; NaN without mated pairs.
        fnmr_ci: its exact binomial interval, over pairs.
    """

    group: str
    pairs: int
    failures: int
    mated: int
    non_mated: int
    auc: float
    eer: float
    fmr: float
    fmr_ci: Interval
    fnmr: float
    fnmr_ci: Interval


@dataclass(frozen=True, slots=True)
class Summary(Record):
    """The metrics of a score file; NaN (``null`` in JSON) where one is undefined.

    Attributes:
        protocol: name of the pair list.
        model: name of the model.
        model_sha256: hash of its file.
        pipeline_id: id of the pipeline.
        calibration: name of the calibration in use, or "".
        pairs: pairs in the list.
        mated: mated ones.
        non_mated: non-mated ones.
        failures: pairs without a score.
        failure_reasons: number of failed pairs by reason.
        scored_mated: mated pairs with a score.
        scored_non_mated: non-mated pairs with a score.
        accuracy: mean over folds, each at the threshold of the others, scored pairs only.
        accuracy_se: its standard error.
        accuracy_failures_different: the same over all pairs, with failed ones decided "different".
        accuracy_failures_different_se: its standard error.
        accuracy_threshold: median of the folds' thresholds.
        folds: all folds.
        folds_from: origin of the folds, in a sentence.
        auc: area under the ROC curve.
        eer: equal error rate.
        fnmr_at_fmr: FNMR by FMR as text, such as ``1e-3``.
        thresholds: lowest observed score by FMR as text.
        cllr: cost of the likelihood ratios in bits; NaN without a calibration.
        min_cllr: the same for the best monotone calibration of these scores.
        intervals: interval by name of a metric (such as ``fnmr_at_fmr[1e-3]``).
        level: coverage of the intervals.
        replicates: bootstrap replicates.
        resampled: resampled units, ``people`` or ``pairs``.
        people: number of people; 0 if pairs were resampled.
        operating_points: checks of the calibration's thresholds on this list.
        groups: all groups, if the list has any.
        group_threshold: common threshold of all groups; NaN without groups.
        about: metadata of the score file.
    """

    protocol: str
    model: str
    model_sha256: str
    pipeline_id: str
    calibration: str
    pairs: int
    mated: int
    non_mated: int
    failures: int
    failure_reasons: dict[str, int]
    scored_mated: int
    scored_non_mated: int
    accuracy: float
    accuracy_se: float
    accuracy_failures_different: float
    accuracy_failures_different_se: float
    accuracy_threshold: float
    folds: tuple[Fold, ...]
    folds_from: str
    auc: float
    eer: float
    fnmr_at_fmr: dict[str, float]
    thresholds: dict[str, float]
    cllr: float
    min_cllr: float
    intervals: dict[str, Interval]
    level: float
    replicates: int
    resampled: str
    people: int
    operating_points: tuple[PointCheck, ...]
    groups: tuple[Group, ...]
    group_threshold: float
    about: About
