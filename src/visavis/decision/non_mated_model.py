"""Non-mated rates between people, each person counting once.

A gallery holds people, not photos. In the false match rate over all pairs of photos, a person with
500 photos has 500 times the weight of a person with one. For an open-set threshold people count, so
one photo of each person is drawn.

Some people look like many others, so the rates of individuals vary around the mean. With a gamma
distribution of squared coefficient of variation c, a non-mated probe reaches the threshold with one
of N people with probability ``1 - (1 + c N h)^(-1/c)``, where ``h = -log(1 - f)`` and f is the rate
for one person. For c = 0 this is the usual ``1 - (1 - f)^N``, which is too high.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visavis.decision.cross_fit import CrossFit
from visavis.errors import DataError
from visavis.types import OperatingPoint, Record, Vectors

Floats = NDArray[np.float64]

DRAWS: Final = 12
"""Draws of one photo per person."""

STEP: Final = 0.005
FIRST: Final = -1.0
BINS: Final = 400
_BLOCK: Final = 512

FEWEST_PAIRS: Final = 500
"""Fewest pairs of people behind ``spread``; constant above the score with fewer."""

_KEYS: Final = ("person_scores", "person_fmr", "person_spread", "person_count")
_LOG_SD: Final = "person_log_sd"


@dataclass(frozen=True, slots=True, eq=False)
class NonMatedModel(Record):
    """Non-mated scores with one person.

    Attributes:
        scores: ``(S,)`` float64, ascending.
        fmr: ``(S,)`` float64 in (0, 1), the rate at which photos of two different people reach each
            score; descending.
        spread: ``(S,)`` float64, squared coefficient of variation of individual rates.
        people: number of people measured.
        log_sd: ``(S,)`` float64, standard deviation of the log of ``fmr`` from sampling people;
            computed if ``None``.
    """

    scores: Floats
    fmr: Floats
    spread: Floats
    people: int
    log_sd: Floats | None = None

    @property
    def pairs(self) -> float:
        """Number of pairs of people behind the rates."""
        return self.people * (self.people - 1) / 2

    def variance(self, score: float) -> float:
        """Returns the sampling variance of the log rate at a score.

        ``4 c / M + 1 / (f M (M - 1) / 2)`` for M people: the two terms of W. Hoeffding's variance
        of a mean over pairs (Annals of Mathematical Statistics 19(3), 1948).
        """
        if self.log_sd is not None:
            return float(np.interp(score, self.scores, self.log_sd)) ** 2
        events = float(np.exp(self.log_fmr(score))) * self.pairs
        return 4 * float(self.spread_at(score)) / self.people + 1 / events

    def log_fmr(self, scores: ArrayLike) -> Floats:
        """Returns the log rate at any score, by linear interpolation; constant above the last
        score."""
        values = np.asarray(scores, dtype=np.float64)
        logs = np.log(self.fmr)
        inside = np.interp(values, self.scores, logs)
        return np.asarray(np.where(values < self.scores[0], 0.0, inside))

    def spread_at(self, scores: ArrayLike) -> Floats:
        """Returns ``spread`` at any score."""
        return np.asarray(np.interp(np.asarray(scores, dtype=np.float64), self.scores, self.spread))

    def to_reference(self) -> dict[str, tuple[float, ...]]:
        """Returns the entries for ``Calibration.reference``."""
        columns = (self.scores.round(5), _digits(self.fmr), _digits(self.spread))
        plain = [tuple(float(v) for v in column) for column in columns]
        reference = dict(zip(_KEYS, [*plain, (float(self.people),)], strict=True))
        if self.log_sd is not None:
            reference[_LOG_SD] = tuple(float(v) for v in _digits(self.log_sd))
        return reference

    @classmethod
    def from_reference(
        cls, reference: Mapping[str, tuple[float, ...]] | None
    ) -> NonMatedModel | None:
        """Inverse of ``to_reference``; ``None`` if the calibration has no such entries."""
        if reference is None or any(key not in reference for key in _KEYS):
            return None
        scores, fmr, spread = (np.asarray(reference[key], dtype=np.float64) for key in _KEYS[:3])
        log_sd = reference.get(_LOG_SD)
        known = None if log_sd is None else np.asarray(log_sd, dtype=np.float64)
        return cls(scores, fmr, spread, int(reference[_KEYS[3]][0]), known)

    @classmethod
    def from_points(cls, points: Sequence[OperatingPoint]) -> NonMatedModel:
        """Approximates the model by the FMR over pairs of photos: usually too high, so
        conservative."""
        rising = sorted(points, key=lambda p: (p.threshold, -p.fmr))
        ends = np.array([p.fmr_ci for p in rising], dtype=np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            log_sd = np.log(ends[:, 1] / ends[:, 0]) / (2 * 1.96)
        return cls(
            scores=np.array([p.threshold for p in rising]),
            fmr=np.minimum.accumulate([p.fmr for p in rising]),
            spread=np.zeros(len(rising)),
            people=max((p.people for p in rising), default=0),
            log_sd=np.where(np.isfinite(log_sd), log_sd, 1.0),
        )


def measure_non_mated(
    vectors: Vectors, people: NDArray[np.int64], /, *, draws: int = DRAWS, seed: int = 0,
    cross_fit: CrossFit | None = None,
) -> NonMatedModel:  # fmt: skip
    """Scores every two people by one photo each, several times.

    Args:
        vectors: ``(N, D)`` float32 unit vectors.
        people: ``(N,)`` person of each photo.
        draws: number of draws of one photo per person.
        seed: random seed.
        cross_fit: scores of the same photos in the same order, to use instead.

    Raises:
        DataError: fewer than two people, or lengths differ.
    """
    x = np.asarray(vectors, dtype=np.float32)
    owner = np.unique(people, return_inverse=True)[1]
    if x.ndim != 2 or owner.shape != (len(x),):
        raise DataError(f"vectors of shape {x.shape} for {owner.shape} labels", "give one per row")
    count = int(owner.max(initial=-1)) + 1
    if count < 2:
        raise DataError(f"photos of {count} people", "give photos of at least two people")
    rng = np.random.default_rng(seed)
    total, squares = np.zeros(BINS), np.zeros(BINS)
    for _ in range(draws):
        order = rng.permutation(len(x))
        one = order[np.unique(owner[order], return_index=True)[1]]
        whole = None if cross_fit is None else cross_fit.matrix(one)
        for start in range(0, count, _BLOCK):
            rows = slice(start, start + _BLOCK)
            above = _counts_above(x[one[rows]] @ x[one].T if whole is None else whole[rows], start)
            total += above.sum(axis=0)
            squares += (above * (above - 1)).sum(axis=0)
    # If a person has k matches among m others, k (k - 1) / (m (m - 1)) estimates the square of
    # their rate without the binomial noise of k.
    others, probes = count - 1, count * draws
    fmr: Floats = np.asarray(total / (probes * others), dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        raw = squares / (probes * others * max(others - 1, 1)) / fmr**2 - 1
    enough = total / (2 * draws) >= FEWEST_PAIRS
    spread: Floats = np.where(enough, np.maximum(raw, 0.0), 0.0)
    if enough.any():
        last = int(np.flatnonzero(enough)[-1])
        spread[last + 1 :] = spread[last]
    scores: Floats = FIRST + STEP * np.arange(BINS, dtype=np.float64)
    # Rate 1 one step below, so that interpolation starts there; measured values above.
    first = max(int(np.flatnonzero(fmr >= 1.0)[-1]) if (fmr >= 1.0).any() else 0, 0)
    end = int(np.flatnonzero(fmr > 0)[-1]) + 1
    return NonMatedModel(scores[first:end], fmr[first:end], spread[first:end], count)


def _counts_above(scores: NDArray[np.float32], start: int) -> NDArray[np.int64]:
    """Returns for each row the number of other people at or above each score of the grid."""
    size = len(scores)
    place = np.floor((scores - np.float32(FIRST)) / np.float32(STEP) + np.float32(1e-4))
    bins = np.clip(place, 0, BINS - 1).astype(np.int64) + BINS * np.arange(size)[:, None]
    counts = np.bincount(bins.ravel(), minlength=BINS * size).reshape(size, BINS)
    own = bins[np.arange(size), start + np.arange(size)] - BINS * np.arange(size)
    counts[np.arange(size), own] -= 1
    return np.asarray(counts[:, ::-1].cumsum(axis=1)[:, ::-1])


def _digits(values: Floats) -> Floats:
    return np.array([float(f"{v:.4g}") for v in values])
