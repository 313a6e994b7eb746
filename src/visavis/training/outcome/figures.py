"""Error rates of a model file on the validation people, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.decision.labelled import STEPS_PER_DECADE, Provenance, calibrate
from visavis.decision.non_mated_model import measure_non_mated
from visavis.decision.operating_point import measure_points, supported_count
from visavis.decision.pair_scores import PairScores, all_pairs
from visavis.decision.profile import Calibration
from visavis.decision.unlabelled import measure_shape
from visavis.errors import CalibrationError, UnsupportedFmrError
from visavis.metrics import cells
from visavis.metrics.intervals import Resampler, Weights, bootstrap
from visavis.training.loop.validation import pair_scores
from visavis.types import OperatingPoint, Record, Vectors

HIGHEST: Final = 0.1
LOWEST: Final = 1e-6
_TAIL: Final = 0.12  # a little more than HIGHEST: ties may reach below it


def score_all(vectors: Vectors, labels: NDArray[np.int64]) -> PairScores:
    """Compare all photos; keep the tail of scores that operating points need.

    Args:
        vectors: ``(N, D)`` unit vectors.
        labels: ``(N,)`` person of each.

    Raises:
        DataError: fewer than two people.
    """
    return all_pairs(vectors, labels.tolist(), tail=_TAIL)


def supported_rates(pairs: PairScores) -> tuple[float, ...]:
    """False match rates that the scores support, highest first, ten per decade from 0.1 down.

    ``operating_point.supported_count`` says what counts: ten false matches, each between another
    two people.
    """
    decades = round(np.log10(HIGHEST / LOWEST))
    found: list[float] = []
    for k in range(decades * STEPS_PER_DECADE + 1):
        rate = float(f"{HIGHEST * 10 ** (-k / STEPS_PER_DECADE):.3g}")
        try:
            supported_count(pairs, rate)
        except UnsupportedFmrError:
            break
        found.append(rate)
    return tuple(found)


def powers(rates: Sequence[float]) -> tuple[float, ...]:
    """The powers of ten among rates, and the lowest of all.

    >>> powers((0.1, 0.0794, 0.01, 0.00794))
    (0.1, 0.01, 0.00794)
    """
    tens = {rate for rate in rates if abs(np.log10(rate) - round(np.log10(rate))) < 1e-9}
    return tuple(sorted(tens | {min(rates)}, reverse=True)) if rates else ()


def operating_points(
    vectors: Vectors, labels: NDArray[np.int64], provenance: Provenance
) -> tuple[Calibration | None, str]:
    """A calibration from validation people, as far as they support one.

    Args:
        vectors: ``(N, D)`` unit vectors of the validation people, by the exported file.
        labels: ``(N,)`` person of each.
        provenance: whose they are.

    Returns:
        The calibration, ``None`` where the pairs support no false match rate up to 0.1 or mated
        scores are no higher than others; and what can be asked for, in words.
    """
    pairs = score_all(vectors, labels)
    rates = supported_rates(pairs)
    if not rates:
        try:
            supported_count(pairs, HIGHEST)
        except UnsupportedFmrError as error:
            return None, (
                f"no operating point: {error}. These people are the ones kept apart for "
                "validation: train on more people, or calibrate on others with `visavis calibrate`"
            )
    owner = np.unique(labels, return_inverse=True)[1]
    try:
        made = calibrate(
            pairs,
            provenance,
            targets=rates,
            shape=measure_shape(vectors, owner),
            non_mated=measure_non_mated(vectors, owner),
        )
    except CalibrationError as error:  # no better than chance: the model is written, and says so
        return None, f"no operating point: {error}"
    return made, (
        f"{pairs.non_mated:,} non-mated pairs of {pairs.people:,} validation people support a "
        f"false match rate of {min(rates):g} or more; for lower ones, calibrate on more people: "
        "`visavis calibrate`"
    )


REPLICATES: Final = 200
_PAIRS: Final = 200_000
"""Non-mated pairs behind the interval of the AUC; the people decide it, not the pairs."""

POOR: Final = 0.7
"""Areas under the ROC curve from 0.5 (chance) to this are called poor: D. W. Hosmer, S. Lemeshow
and R. X. Sturdivant, "Applied Logistic Regression", 3rd edition, 2013, section 5.2.4."""

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Figures(Record):
    """Verification by one model file on the validation people.

    Attributes:
        model: whose figures.
        photos_are: ``as they are``, or how they were changed before.
        auc: area under the ROC curve, in [0, 1].
        auc_ci: 95 % interval, resampling people.
        eer: equal error rate, in [0, 1].
        eer_ci: likewise.
        points: FNMR with its interval at each power of ten that the pairs support as false match
            rate, and at the lowest such rate; may be empty.
        mated_pairs: pairs of photos of one person.
        non_mated_pairs: pairs of photos of two people.
        people: people in them.
        photos: photos in them.
    """

    model: str
    photos_are: str
    auc: float
    auc_ci: Interval
    eer: float
    eer_ci: Interval
    points: tuple[OperatingPoint, ...]
    mated_pairs: int
    non_mated_pairs: int
    people: int
    photos: int


def measure(
    vectors: Vectors,
    labels: NDArray[np.int64],
    *,
    model: str,
    photos_are: str = "as they are",
    rates: Sequence[float] | None = None,
    replicates: int = REPLICATES,
) -> Figures:
    """Compare all photos with each other.

    Args:
        vectors: ``(N, D)`` unit vectors.
        labels: ``(N,)`` person of each; at least two people, one of them with two photos.
        model: whose vectors.
        photos_are: how the photos were changed before, in words.
        rates: false match rates to measure FNMR at; what the pairs support where ``None``.
        replicates: resamples of the people behind each interval.

    Raises:
        DataError: fewer than two people.
        UnsupportedFmrError: the pairs do not support one of ``rates``.
    """
    pairs = score_all(vectors, labels)
    targets = powers(supported_rates(pairs)) if rates is None else tuple(rates)
    mated, non_mated = pair_scores(vectors, labels)
    counts = cells.tally(mated, non_mated)
    auc_ci, eer_ci = _intervals(vectors, labels, replicates)
    return Figures(
        model=model,
        photos_are=photos_are,
        auc=cells.auc(counts),
        auc_ci=auc_ci,
        eer=cells.equal_error_rate(counts),
        eer_ci=eer_ci,
        points=tuple(measure_points(pairs, targets, model=model)) if targets else (),
        mated_pairs=len(pairs.mated),
        non_mated_pairs=pairs.non_mated,
        people=pairs.people,
        photos=len(labels),
    )


def weakness(figures: Figures) -> str:
    """Warning for a model hardly better than chance; "" for any other."""
    if figures.auc >= POOR:
        return ""
    return (
        f"this model is hardly better than chance: AUC {figures.auc:.2f} on the validation people, "
        f"where guessing has 0.5 and below {POOR:g} is poor. Do not use it: train on more people "
        "and photos, or longer (--epochs), or begin with a trained model (--recipe finetune-sface)"
    )


def _intervals(
    vectors: Vectors, labels: NDArray[np.int64], replicates: int
) -> tuple[Interval, Interval]:
    owner = np.unique(labels, return_inverse=True)[1]
    first, second = _pairs(owner)
    scores = np.einsum("nd,nd->n", vectors[first], vectors[second])
    same = owner[first] == owner[second]
    people = np.stack([owner[first], owner[second]], axis=1)
    assigned = cells.assign(scores[same], scores[~same])
    resampler = Resampler(int(same.sum()), int((~same).sum()), people[same], people[~same])

    def statistic(mated: Weights, non_mated: Weights) -> list[float]:
        counts = assigned.count(mated, non_mated)
        return [cells.auc(counts), cells.equal_error_rate(counts)]

    ends = bootstrap(statistic, resampler, replicates=replicates).tolist()
    if len(ends) < 2:  # two people: every replicate is of one person or the same
        ends = [[float("nan")] * 2] * 2
    return (ends[0][0], ends[0][1]), (ends[1][0], ends[1][1])


def _pairs(owner: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All mated pairs, and all or a sample of the non-mated ones."""
    count = len(owner)
    if count * (count - 1) // 2 <= 2 * _PAIRS:
        first, second = np.triu_indices(count, 1)
        return first, second
    order = np.argsort(owner, kind="stable")
    edges = np.flatnonzero(np.diff(owner[order])) + 1
    own: list[NDArray[np.int64]] = []
    for rows in np.split(order, edges):
        i, j = np.triu_indices(len(rows), 1)
        own.append(np.stack([rows[i], rows[j]]))
    rng = np.random.default_rng(0)
    drawn = np.unique(np.sort(rng.integers(0, count, (2, _PAIRS)), axis=0), axis=1)
    other = drawn[:, owner[drawn[0]] != owner[drawn[1]]]
    both = np.concatenate([*own, other], axis=1)
    return both[0], both[1]
