"""Metrics of 1:N identification, closed set and open set.

Terms of ISO/IEC 19795-1:2021. A *mated* probe shows an enrolled person, a *non-mated* probe
somebody else. A search returns candidates, best score first.

Closed set (every probe is mated): the cumulative match characteristic, the share of probes whose
own person is among the R best.

Open set: at threshold T

* FPIR, false positive identification rate: the share of non-mated probes for which a candidate is
  returned, that is, whose highest score is at or above T.
* FNIR, false negative identification rate: the share of mated probes whose own person is *not*
  returned among the R best at or above T. R is 1 here unless told: the person named is wrong, or
  nobody is.

Ties: an equal score of another person ranks before the own person's, so no rate is flattered; a
score equal to the threshold is at it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visavis.errors import OptionError
from visavis.metrics.checks import Scores, as_scores
from visavis.metrics.verification import highest_refused

Ranks = NDArray[np.int64]


def ranks(scores: ArrayLike, owners: ArrayLike) -> Ranks:
    """Returns the rank of each mated probe's own person among the candidates, 1 for the first.

    ``rank = 1 + #{others with a score >= the own person's}``.

    Args:
        scores: ``(Q, P)`` scores of probes with people.
        owners: ``(Q,)`` column of each probe's own person.

    Returns:
        ``(Q,)`` int64.

    Raises:
        OptionError: shapes that do not fit, an owner that is no column, a score that is NaN.

    >>> ranks([[0.9, 0.5, 0.1], [0.4, 0.4, 0.2]], [0, 1])
    array([1, 2])
    """
    values, own = _matrix(scores, owners)
    mine = values[np.arange(len(values)), own]
    return np.asarray((values >= mine[:, None]).sum(axis=1), dtype=np.int64)


def cmc(places: ArrayLike, *, most: int = 20) -> NDArray[np.float64]:
    """Cumulative match characteristic: ``CMC(r) = #{rank <= r} / Q`` for r of 1 to ``most``.

    P. Grother, R. Micheals and P. J. Phillips, "Face Recognition Vendor Test 2002 performance
    metrics", AVBPA 2003.

    Args:
        places: ``(Q,)`` from ``ranks``.
        most: the highest rank.

    Raises:
        OptionError: no probe, a rank below 1, ``most`` below 1.

    >>> cmc([1, 1, 3, 2], most=3)
    array([0.5 , 0.75, 1.  ])
    """
    place = _places(places)
    if most < 1:
        raise OptionError(f"a last rank of {most}", "give 1 or more")
    counts = np.bincount(np.minimum(place, most + 1), minlength=most + 2)
    return np.asarray(counts[1 : most + 1].cumsum() / len(place), dtype=np.float64)


def fpir(non_mated: ArrayLike, threshold: float) -> float:
    """Share of non-mated probes whose highest score is at or above the threshold.

    Args:
        non_mated: ``(K,)`` highest score of each non-mated probe.
        threshold: any number.

    >>> fpir([0.1, 0.5, 0.7], 0.5)
    0.6666666666666666
    """
    return float(np.mean(as_scores(non_mated, "non-mated scores") >= np.float64(threshold)))


def fnir(mated: ArrayLike, places: ArrayLike, threshold: float, *, rank: int = 1) -> float:
    """Share of mated probes whose own person is not among the ``rank`` best at the threshold.

    Args:
        mated: ``(Q,)`` score of each mated probe with its own person.
        places: ``(Q,)`` from ``ranks``.
        threshold: any number.
        rank: R, how many candidates are looked at.

    >>> fnir([0.9, 0.6, 0.8], [1, 1, 2], 0.7)
    0.6666666666666666
    >>> fnir([0.9, 0.6, 0.8], [1, 1, 2], 0.7, rank=2)
    0.3333333333333333
    """
    found = _found(mated, places, rank)
    return float(np.count_nonzero(found < np.float64(threshold)) / len(found))


def threshold_at_fpir(non_mated: ArrayLike, rate: float, mated: ArrayLike = ()) -> float:
    """Returns the lowest observed score at which FPIR is at most ``rate``.

    Args:
        non_mated: ``(K,)`` highest score of each non-mated probe.
        rate: an FPIR of at least 1 / K.
        mated: scores of mated probes, also candidates for the threshold; may be empty.

    Returns:
        A score from either array; infinity if none fits, because of ties.

    Raises:
        UnsupportedFmrError: ``rate`` is below 1 / K; nothing is extrapolated.
        OptionError: ``rate`` is outside (0, 1), or scores are missing or not finite.

    >>> threshold_at_fpir([0.1, 0.2, 0.3, 0.4], 0.25), threshold_at_fpir([0.1, 0.4], 0.5, [0.3])
    (0.4, 0.3)
    """
    values = as_scores(non_mated, "non-mated scores")
    refused = _highest_refused(values, rate)
    own = as_scores(mated, "mated scores", empty=True)
    above = [part.min() for part in (values[values > refused], own[own > refused]) if part.size]
    return float(min(above)) if above else float("inf")


def fnir_at_fpir(
    mated: ArrayLike, places: ArrayLike, non_mated: ArrayLike, rate: float, *, rank: int = 1
) -> float:
    """Returns the lowest FNIR among the observed thresholds with an FPIR of at most ``rate``.

    Args:
        mated: ``(Q,)`` score of each mated probe with its own person.
        places: ``(Q,)`` from ``ranks``.
        non_mated: ``(K,)`` highest score of each non-mated probe.
        rate: an FPIR of at least 1 / K.
        rank: R, how many candidates are looked at.

    Raises:
        UnsupportedFmrError: ``rate`` is below 1 / K.
        OptionError: ``rate`` is outside (0, 1), or scores are missing or not finite.

    >>> fnir_at_fpir([0.9, 0.25, 0.8], [1, 1, 2], [0.1, 0.2, 0.3, 0.4], 0.25)
    0.6666666666666666
    """
    refused = _highest_refused(as_scores(non_mated, "non-mated scores"), rate)
    found = _found(mated, places, rank)
    return float(np.count_nonzero(found <= refused) / len(found))


def _matrix(scores: ArrayLike, owners: ArrayLike) -> tuple[Scores, NDArray[np.int64]]:
    values = np.asarray(scores)
    own = np.asarray(owners)
    if values.ndim != 2 or own.shape != (len(values),) or own.dtype.kind not in "iu":
        raise OptionError(
            f"scores of shape {values.shape} with owners of shape {own.shape}",
            "give a (Q, P) matrix and one column number per probe",
        )
    if len(own) and not (own.min() >= 0 and own.max() < values.shape[1]):
        raise OptionError(
            f"owners from {own.min()} to {own.max()}", f"there are {values.shape[1]} columns from 0"
        )
    if np.isnan(values).any():
        raise OptionError("a score of NaN", "give a number for every probe and person")
    return values, own.astype(np.int64)


def _places(places: ArrayLike) -> Ranks:
    place = np.asarray(places)
    if place.ndim != 1 or place.dtype.kind not in "iu" or not len(place) or place.min() < 1:
        raise OptionError(
            f"ranks of shape {place.shape} and type {place.dtype}",
            "give one whole number of at least 1 per probe",
        )
    return place.astype(np.int64)


def _found(mated: ArrayLike, places: ArrayLike, rank: int) -> NDArray[np.float64]:
    """The own person's score; minus infinity if not among the ``rank`` best."""
    values, place = as_scores(mated, "mated scores"), _places(places)
    if values.shape != place.shape:
        raise OptionError(f"{len(values)} mated scores and {len(place)} ranks", "give one of each")
    if rank < 1:
        raise OptionError(f"rank {rank}", "give 1 or more")
    return np.where(place <= rank, values.astype(np.float64), -np.inf)


def _highest_refused(non_mated: Scores, rate: float) -> np.float64:
    name = "false positive identification rate"
    return highest_refused(non_mated, rate, name=name, of="non-mated probes")
