"""Operating points from the people that were kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.decision.labelled import STEPS_PER_DECADE, Provenance, calibrate
from visavis.decision.operating_point import supported_count
from visavis.decision.pair_scores import PairScores, all_pairs
from visavis.decision.profile import Calibration
from visavis.decision.strangers import measure_strangers
from visavis.decision.unlabelled import measure_shape
from visavis.errors import CalibrationError, UnsupportedFmrError
from visavis.types import Vectors

HIGHEST: Final = 0.1
LOWEST: Final = 1e-6
_TAIL: Final = 0.12  # a little more than HIGHEST: ties may reach below it


def score_all(vectors: Vectors, labels: NDArray[np.int64]) -> PairScores:
    """Everybody with everybody, with as long a tail as operating points want.

    Args:
        vectors: ``(N, D)`` unit vectors.
        labels: ``(N,)`` person of each.

    Raises:
        DataError: fewer than two people.
    """
    return all_pairs(vectors, labels.tolist(), tail=_TAIL)


def supported_rates(pairs: PairScores) -> tuple[float, ...]:
    """The false match rates that scores can show, highest first: ten a decade from 0.1 down.

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
            strangers=measure_strangers(vectors, owner),
        )
    except CalibrationError as error:  # no better than chance: the model is written, and says so
        return None, f"no operating point: {error}"
    return made, (
        f"{pairs.non_mated:,} non-mated pairs of {pairs.people:,} validation people support a "
        f"false match rate of {min(rates):g} or more; for lower ones, calibrate on more people: "
        "`visavis calibrate`"
    )
