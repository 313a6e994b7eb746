"""Intervals that respect that pairs share people: resample people, never pairs.

Forty million pairs among four thousand people are not forty million independent trials: one
person who looks like many others raises the score of thousands of pairs at once. So people are
drawn with replacement, and a pair counts as often as both its people were drawn (the two-way or
"pigeonhole" bootstrap: McCullagh, "Resampling and exchangeable arrays", Bernoulli 6(2), 2000;
for biometrics Bolle, Ratha and Pankanti, "Error analysis of pattern recognition systems - the
subsets bootstrap", CVIU 93(1), 2004).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from visavis.decision.pair_scores import PairScores
from visavis.errors import OptionError

REPLICATES: Final = 1000
LEVEL: Final = 0.95

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class PeopleBootstrap:
    """How often each person was drawn in each replicate.

    Attributes:
        weights: ``(P, R)`` float32 counts; each column sums to P.
    """

    weights: NDArray[np.float32]

    @classmethod
    def draw(cls, people: int, *, replicates: int = REPLICATES, seed: int = 0) -> PeopleBootstrap:
        """Draw ``people`` people with replacement, ``replicates`` times.

        Raises:
            OptionError: fewer than 100 replicates, which carry no 95 % interval.
        """
        if replicates < 100:
            raise OptionError(f"replicates={replicates}", "give at least 100, better 1000")
        rng = np.random.default_rng(seed)
        counts = np.stack(
            [
                np.bincount(rng.integers(0, people, people), minlength=people)
                for _ in range(replicates)
            ],
            axis=1,
        )
        return cls(counts.astype(np.float32))

    def fmr_intervals(
        self, pairs: PairScores, counts: list[int], *, level: float = LEVEL
    ) -> list[Interval]:
        """Interval of the FMR at each of several thresholds.

        Args:
            pairs: the scores; its people are the rows of ``weights``.
            counts: for each threshold how many of ``pairs.tail`` are at or above it.
            level: probability that the interval should hold.

        Returns:
            One ``(low, high)`` for each count, in the order given.
        """
        total = self._non_mated_weight(pairs)
        matches = np.zeros(self.weights.shape[1])
        done = 0
        found: dict[int, Interval] = {}
        for count in sorted(set(counts)):
            matches = matches + self._pair_weight(pairs.tail_people[done:count], pairs.people)
            done = count
            rate = np.divide(matches, total, out=np.zeros_like(matches), where=total > 0)
            found[count] = _percentiles(rate[total > 0], level)
        return [found[count] for count in counts]

    def fnmr_interval(
        self, pairs: PairScores, threshold: float, *, level: float = LEVEL
    ) -> Interval:
        """Interval of the share of mated pairs below ``threshold``."""
        misses = np.searchsorted(pairs.mated, np.float32(threshold), side="left")
        below = np.bincount(pairs.mated_people[:misses], minlength=pairs.people)
        every = np.bincount(pairs.mated_people, minlength=pairs.people)
        total = every.astype(np.float64) @ self.weights
        rate = np.divide(below @ self.weights, total, out=np.zeros_like(total), where=total > 0)
        low, high = _percentiles(rate[total > 0], level)
        if misses == 0:
            # No resample shows an error that none of the people did: the exact binomial bound, a
            # person counting as one trial.
            high = 1 - ((1 - level) / 2) ** (1 / max(int((every > 0).sum()), 1))
        return low, high

    def _non_mated_weight(self, pairs: PairScores) -> NDArray[np.float64]:
        """Weighted number of non-mated pairs in each replicate."""
        if not pairs.exhaustive:
            return self._pair_weight(pairs.tail_people, pairs.people)
        photos = pairs.photos.astype(np.float64)
        weights = self.weights.astype(np.float64)
        return np.asarray(((photos @ weights) ** 2 - (photos**2) @ (weights**2)) / 2)

    def _pair_weight(self, people: NDArray[np.int32], size: int) -> NDArray[np.float64]:
        """Sum of w_p * w_q over the given pairs (p, q), one for each replicate."""
        if not len(people):
            return np.zeros(self.weights.shape[1])
        ones = np.ones(len(people), dtype=np.float32)
        counts = sparse.coo_matrix((ones, (people[:, 0], people[:, 1])), shape=(size, size))
        product = counts.tocsr() @ self.weights
        return np.asarray(np.einsum("pr,pr->r", self.weights, product, dtype=np.float64))


def _percentiles(values: NDArray[np.float64], level: float) -> Interval:
    if not len(values):
        return (float("nan"), float("nan"))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return (float(low), float(high))
