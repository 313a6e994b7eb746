"""Thresholds with measured error rates.

The threshold for a false match rate (FMR) is the lowest observed non-mated score t for which
``#(non-mated scores >= t) / #(non-mated scores)`` does not exceed the rate. Nothing is interpolated
or extrapolated.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, sqrt
from typing import Final

import numpy as np

from visavis.decision.bootstrap import PeopleBootstrap
from visavis.decision.pair_scores import PairScores
from visavis.errors import CalibrationError, OptionError, UnsupportedFmrError
from visavis.types import OperatingPoint

LADDER: Final = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""Default false match rates."""

MINIMUM_ERRORS: Final = 10
"""Fewest false matches behind a threshold, each between a different pair of people.

If they were independent, ten events would determine the true rate within a factor of 0.48 to 1.84
with 95 % confidence (exact Poisson interval). Doddington's rule of 30 asks for thirty: ±30 % with
90 % confidence. The interval of the operating point gives the actual uncertainty."""

TINY: Final = 1e-30
"""Rates below it are taken for it where advice is computed: 1 / 5e-324 is infinite."""


def measure_points(
    pairs: PairScores,
    targets: Sequence[float] = LADDER,
    *,
    model: str = "",
    model_sha256: str = "",
    dataset: str = "",
    pipeline_id: str = "",
    bootstrap: PeopleBootstrap | None = None,
) -> list[OperatingPoint]:
    """Measures operating points at given false match rates.

    Args:
        pairs: the scores.
        targets: false match rates in (0, 1).
        model: name of the model that made the scores.
        model_sha256: hash of its file.
        dataset: description of the data.
        pipeline_id: id of the pipeline that made the scores.
        bootstrap: for the intervals; 1000 replicates if ``None``.

    Returns:
        One operating point per target, in order.

    Raises:
        UnsupportedFmrError: a target is based on fewer than ten false matches between different
            pairs of people; the message says how many people are needed.
        OptionError: a target is outside (0, 1).
    """
    counts = [supported_count(pairs, target) for target in targets]
    draws = bootstrap or PeopleBootstrap.draw(pairs.people)
    intervals = draws.fmr_intervals(pairs, counts)
    points = []
    for target, count, interval in zip(targets, counts, intervals, strict=True):
        threshold = pairs.tail[count - 1]
        fnmr, fnmr_ci = float("nan"), (float("nan"), float("nan"))
        if len(pairs.mated):
            fnmr = float(np.searchsorted(pairs.mated, threshold, side="left")) / len(pairs.mated)
            fnmr_ci = draws.fnmr_interval(pairs, float(threshold))
        points.append(
            OperatingPoint(
                model=model,
                model_sha256=model_sha256,
                threshold=float(threshold),
                fmr=count / pairs.non_mated,
                fmr_ci=interval,
                fnmr=fnmr,
                dataset=dataset,
                pairs=pairs.non_mated,
                target_fmr=target,
                people=pairs.people,
                mated_pairs=len(pairs.mated),
                fnmr_ci=fnmr_ci,
                ties=int((pairs.tail[:count] == threshold).sum()),
                pipeline_id=pipeline_id,
            )
        )
    return points


def supported_count(pairs: PairScores, target: float) -> int:
    """Returns the number of non-mated scores at or above the threshold for ``target``.

    All scores equal to the threshold count, so ties never raise the rate.

    Raises:
        UnsupportedFmrError: too few false matches to measure ``target``.
        CalibrationError: ``pairs`` stores too few scores for a target this high.
        OptionError: ``target`` is outside (0, 1).
    """
    if not 0 < target < 1:
        raise OptionError(f"a false match rate of {target}", "give one in (0, 1), such as 1e-3")
    # The tolerance makes 1e-3 * 5000 give 5 where floating point gives 4.999...
    allowed = floor(target * pairs.non_mated * (1 + 1e-12))
    if allowed >= len(pairs.tail) and len(pairs.tail) < pairs.non_mated:
        raise CalibrationError(
            f"a false match rate of {target:g} with only the highest "
            f"{len(pairs.tail) / pairs.non_mated:.2g} of the scores kept",
            "keep a longer tail of scores",
        )
    count = min(allowed, len(pairs.tail))
    if 0 < count < len(pairs.tail) and pairs.tail[count] == pairs.tail[count - 1]:
        # The first score left out equals the last one counted: skip the whole tie.
        count = int(np.searchsorted(-pairs.tail, -pairs.tail[count], side="left"))
    errors = _different_pairs(pairs, count)
    if errors < MINIMUM_ERRORS:
        needed = people_needed(pairs, target)
        raise UnsupportedFmrError(
            f"a false match rate of {target:g} from {pairs.non_mated:,} non-mated pairs of "
            f"{pairs.people:,} people, which show {errors} false match"
            f"{'' if errors == 1 else 'es'} between different pairs of people there",
            f"{MINIMUM_ERRORS} are needed: give photos of about {needed:,} people, "
            "or ask for a higher rate",
        )
    return count


def people_needed(pairs: PairScores, target: float) -> int:
    """Returns the approximate number of people needed to support ``target``, with as many photos
    each.

    The number of pairs grows with the square of the number of people.

    >>> from visavis.decision.pair_scores import all_pairs
    >>> scores = all_pairs([[1, 0], [0.8, 0.6], [0, 1]], ["ann", "bob", "cat"], tail=1)
    >>> people_needed(scores, 1e-3)
    174
    """
    expected = target * pairs.non_mated
    count = min(floor(expected), len(pairs.tail))
    if count:
        # Several photos of one pair of look-alikes are one error, counted several times.
        expected *= _different_pairs(pairs, count) / count
    return ceil(max(pairs.people, 2) * max(1.0, sqrt(MINIMUM_ERRORS / max(expected, TINY))))


def _different_pairs(pairs: PairScores, count: int) -> int:
    """Number of different pairs of people among the ``count`` highest non-mated scores."""
    low_high = np.sort(pairs.tail_people[:count].astype(np.int64), axis=1)
    return len(np.unique(low_high @ np.array([pairs.people, 1])))
