"""Bootstrap confidence intervals, over pairs or over people.

Pairs that share a person are not independent: one person who resembles many others raises many
scores. So people are drawn, if they are known: R. M. Bolle, N. K. Ratha and S. Pankanti, "Error
analysis of pattern recognition systems: the subsets bootstrap", Computer Vision and Image
Understanding 93(1), 2004. A person drawn twice counts twice: the weight of a pair within one person
is that person's count, that of a pair of two people the product of their counts. For pairs of two
people this is the pigeonhole bootstrap of A. B. Owen (Annals of Applied Statistics 1(2), 2007),
whose intervals are too wide if people hardly recur.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visavis.errors import OptionError

Weights: TypeAlias = NDArray[np.int64]
Statistic: TypeAlias = Callable[[Weights, Weights], ArrayLike]
"""Maps weights of the ``(M,)`` mated and ``(N,)`` non-mated pairs to ``(S,)`` numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Resampler:
    """Draws bootstrap replicates as integer weights of pairs.

    Attributes:
        mated: number of mated pairs, M.
        non_mated: number of non-mated pairs, N.
        mated_people: ``(M, 2)`` integers, the two people of each mated pair; ``None``: draw pairs,
            separately for mated and non-mated.
        non_mated_people: ``(N, 2)`` integers, likewise.
    """

    mated: int
    non_mated: int
    mated_people: NDArray[np.int64] | None = None
    non_mated_people: NDArray[np.int64] | None = None

    _present: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if (self.mated_people is None) != (self.non_mated_people is None):
            raise OptionError("the people of one kind of pair only", "give those of both, or none")
        if self.mated < 1 or self.non_mated < 1:
            raise OptionError(
                f"{self.mated} mated and {self.non_mated} non-mated pairs", "give some of both"
            )
        present = np.zeros(0, dtype=np.int64)
        for people, count in (
            (self.mated_people, self.mated),
            (self.non_mated_people, self.non_mated),
        ):
            if people is None:
                continue
            if people.shape != (count, 2) or people.dtype.kind not in "iu" or (people < 0).any():
                raise OptionError(
                    f"people of shape {people.shape} for {count} pairs",
                    "give two non-negative integers per pair",
                )
            present = np.union1d(present, people)
        object.__setattr__(self, "_present", present)

    @property
    def people(self) -> int:
        """Number of people in the pairs; 0 if pairs are drawn."""
        return len(self._present)

    def draw(self, rng: np.random.Generator) -> tuple[Weights, Weights]:
        """Draws the weights of mated and non-mated pairs for one replicate."""
        if self.mated_people is None or self.non_mated_people is None:
            return _draw(rng, self.mated), _draw(rng, self.non_mated)
        times = np.zeros(int(self._present[-1]) + 1, dtype=np.int64)
        times[self._present] = _draw(rng, len(self._present))
        return _pair_weights(times, self.mated_people), _pair_weights(times, self.non_mated_people)


def _draw(rng: np.random.Generator, size: int) -> Weights:
    """Counts of each of ``size`` items in ``size`` draws with replacement."""
    return np.bincount(rng.integers(0, size, size), minlength=size)


def _pair_weights(times: Weights, people: NDArray[np.int64]) -> Weights:
    first, second = times[people[:, 0]], times[people[:, 1]]
    return np.where(people[:, 0] == people[:, 1], first, first * second)


def bootstrap(
    statistic: Statistic,
    resampler: Resampler,
    *,
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """Computes percentile intervals of several statistics at once.

    B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

    Args:
        statistic: called once per replicate with integer weights of the mated and non-mated pairs;
            returns S numbers, NaN where undefined.
        resampler: draws the replicates.
        replicates: number of replicates.
        level: coverage, in (0, 1).
        seed: the same seed gives the same intervals.
        progress: called with (done, total).

    Returns:
        ``(S, 2)`` float64 low and high ends; NaN if more than a tenth of the replicates were
        undefined.

    Raises:
        OptionError: fewer than 20 replicates, or ``level`` outside (0, 1).

    >>> from visavis.metrics.intervals import Resampler, bootstrap
    >>> wrong = np.array([1, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    >>> bootstrap(lambda mated, _: [(mated @ wrong) / mated.sum()], Resampler(10, 1), seed=1)
    array([[0. , 0.3]])
    """
    if replicates < 20:
        raise OptionError(f"{replicates} bootstrap replicates", "ask for at least 20")
    if not 0 < level < 1:
        raise OptionError(f"an interval of level {level}", "give one in (0, 1), such as 0.95")
    rng = np.random.default_rng(seed)
    rows: list[NDArray[np.float64]] = []
    for k in range(replicates):
        mated, non_mated = resampler.draw(rng)
        if not mated.any() or not non_mated.any():
            # A replicate without mated or non-mated pairs has no error rates.
            rows.append(np.array([np.nan]))
        else:
            rows.append(np.asarray(statistic(mated, non_mated), dtype=np.float64))
        if progress is not None:
            progress(k + 1, replicates)
    width = max(len(row) for row in rows)
    drawn = np.stack([row if len(row) == width else np.full(width, np.nan) for row in rows])
    tail = (1 - level) / 2
    ends = np.full((width, 2), np.nan)
    for k, column in enumerate(drawn.T):
        kept = column[~np.isnan(column)]
        if len(kept) >= 0.9 * replicates:
            ends[k] = np.quantile(kept, [tail, 1 - tail])
    return ends


def proportion_interval(events: int, trials: int, *, level: float = 0.95) -> tuple[float, float]:
    """Returns the exact interval of a proportion of independent trials.

    C. J. Clopper and E. S. Pearson, Biometrika 26(4), 1934. If there are no errors, a bootstrap
    interval is "exactly 0"; this one is up to ``1 - (alpha/2)^(1/n)`` for 0 of n (3.7 / n at 95 %).

    Args:
        events: number of events, 0 to ``trials``.
        trials: number of trials, at least 1.
        level: coverage, in (0, 1).

    Raises:
        OptionError: invalid counts.

    >>> [round(end, 4) for end in proportion_interval(0, 300)]
    [0.0, 0.0122]
    """
    from scipy.special import betaincinv

    if trials < 1 or not 0 <= events <= trials:
        raise OptionError(f"{events} of {trials}", "give 0 <= events <= trials, trials at least 1")
    tail = (1 - level) / 2
    low = float(betaincinv(events, trials - events + 1, tail)) if events else 0.0
    high = float(betaincinv(events + 1, trials - events, 1 - tail)) if events < trials else 1.0
    return low, high
