"""Confidence intervals by resampling people, not pairs.

Forty million pairs of four thousand people are not independent trials: one person who resembles
many others raises the scores of thousands of pairs. So people are drawn with replacement, and a
pair counts as often as both of its people were drawn (the two-way or "pigeonhole" bootstrap:
McCullagh, "Resampling and exchangeable arrays", Bernoulli 6(2), 2000; for biometrics Bolle, Ratha
and Pankanti, "Error analysis of pattern recognition systems - the subsets bootstrap", CVIU 93(1),
2004).
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
    """Number of draws of each person in each replicate.

    Attributes:
        weights: ``(P, R)`` float32 counts; each column sums to P.
    """

    weights: NDArray[np.float32]

    @classmethod
    def draw(cls, people: int, *, replicates: int = REPLICATES, seed: int = 0) -> PeopleBootstrap:
        """Draws ``people`` people with replacement, ``replicates`` times.

        Raises:
            OptionError: fewer than 100 replicates, too few for a 95 % interval.
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
        """Returns confidence intervals of the FMR at several thresholds.

        Args:
            pairs: the scores; its people are the rows of ``weights``.
            counts: number of ``pairs.tail`` at or above each threshold.
            level: confidence level.

        Returns:
            One ``(low, high)`` per count, in order.
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
        """Returns a confidence interval of the share of mated pairs below ``threshold``."""
        misses = np.searchsorted(pairs.mated, np.float32(threshold), side="left")
        below = np.bincount(pairs.mated_people[:misses], minlength=pairs.people)
        every = np.bincount(pairs.mated_people, minlength=pairs.people)
        total = every.astype(np.float64) @ self.weights
        rate = np.divide(below @ self.weights, total, out=np.zeros_like(total), where=total > 0)
        low, high = _percentiles(rate[total > 0], level)
        if misses == 0:
            # No resample has an error if the data have none: use the exact binomial bound, one
            # trial per person.
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
        """Sum of w_p * w_q over the given pairs (p, q), per replicate."""
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
