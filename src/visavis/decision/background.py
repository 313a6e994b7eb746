"""Distribution of the non-mated scores of unlabelled photos.

Photos differ in their non-mated scores: a blurred photo is close to other blurred ones, a child's
to other children's. So a score is modeled pair by pair::

    score(i, j)  ~  Normal(m + a_i + a_j + c_i . c_j,  spread_i * spread_j / rms(spread))

with a shift and a spread for each photo, and coordinates ``c`` along the few directions, if any, in
which the photos form groups. Everything is fitted by medians and quantiles, so a few mated pairs do
not matter. The mean of these normal distributions over all pairs is the distribution of non-mated
scores. Its tail is not that of one normal distribution, because the pairs with the highest
locations and spreads dominate it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from visavis.decision.cohort import Cohort

Floats = NDArray[np.float64]

GROUP_RATIO: Final = 1.5
"""A direction of the photos counts as structure if its variance is this many times the next."""

MIDDLE_RATIO: Final = 1.2
"""Second condition: variance along it, relative to the next direction, in the middle 80 %."""

MAX_GROUP_DIRECTIONS: Final = 2
SPREAD_QUANTILES: Final = (0.1, 0.9)
"""Quantiles that are robust if one person owns a tenth of the photos."""

LOWER_QUANTILES: Final = (0.1, 0.5)
"""Quantiles below the median, where mated pairs do not matter even if one person owns half of the
photos."""

GRID: Final = 160
CURVE_PAIRS: Final = 40_000
SPLITS: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """Distribution of non-mated scores under the pair model.

    Attributes:
        grid: ``(G,)`` ascending scores.
        deviates: ``(G,)`` ascending; the normal deviate that is exceeded as often as each score:
            ``P(score >= grid) = P(N(0, 1) >= deviates)``.
        scores: ``(K,)`` scores of all pairs of the photos.
        surprise: ``(K,)`` standardized score: in units of the pair's own spread, relative to its
            own location. Mated pairs stand out here; photos that are close to everybody do not.
    """

    grid: Floats
    deviates: Floats
    scores: Floats
    surprise: Floats

    def deviate(self, scores: NDArray[np.floating] | float) -> Floats:
        """Maps scores to normal deviates; linear beyond the grid."""
        return _piecewise(np.asarray(scores, dtype=np.float64), self.grid, self.deviates)

    def score(self, deviates: NDArray[np.floating] | float) -> Floats:
        """The inverse of ``deviate``."""
        return _piecewise(np.asarray(deviates, dtype=np.float64), self.deviates, self.grid)


def fit_background(cohort: Cohort, rng: np.random.Generator) -> Background:
    """Fits the pair model.

    Args:
        cohort: at least 20 photos of mostly different people, and the scores of their pairs.
        rng: for splitting and thinning.
    """
    center, axes = _group_axes(cohort.vectors)
    whole = _pair_normals(cohort, (cohort.vectors - center) @ axes.T)
    parts = [whole]
    if len(axes):
        parts = []
        # Directions found in one half are applied to the other half; otherwise they would fit noise
        # and mated pairs.
        for _ in range(SPLITS):
            order = rng.permutation(cohort.units)
            halves = cohort.part(order[: len(order) // 2]), cohort.part(order[len(order) // 2 :])
            for found, applied in (halves, halves[::-1]):
                center, half_axes = _group_axes(found.vectors, len(axes))
                parts.append(_pair_normals(applied, (applied.vectors - center) @ half_axes.T))
    location = np.concatenate([p[0] for p in parts])
    spread = np.concatenate([p[1] for p in parts])
    if len(location) > CURVE_PAIRS:
        keep = rng.choice(len(location), CURVE_PAIRS, replace=False)
        location, spread = location[keep], spread[keep]
    grid = np.linspace((location - 4 * spread).min(), (location + 7 * spread).max(), GRID)
    survival = np.array([ndtr((location - t) / spread).mean() for t in grid])
    deviates = -ndtri(np.clip(survival, 1e-300, 1 - 1e-12))
    # Leave out points where the survival function saturates.
    rising = np.concatenate([[True], np.diff(deviates) > 1e-9])
    scores = cohort.pair_scores()
    return Background(grid[rising], deviates[rising], scores, (scores - whole[0]) / whole[1])


def _group_axes(x: Floats, count: int | None = None) -> tuple[Floats, Floats]:
    """Center, and the main directions that separate large groups of photos.

    A direction counts if its variance is clearly larger than the next one's, and if the variance is
    not due to a few outliers: those are several photos of one person.
    """
    center = x.mean(axis=0)
    _, singular, axes = np.linalg.svd(x - center, full_matrices=False)
    if count is None:
        leading = singular[: MAX_GROUP_DIRECTIONS + 1] ** 2 / len(x)
        low, high = np.quantile((x - center) @ axes[: len(leading) - 1].T, (0.1, 0.9), axis=0)
        middle = ((high - low) / (2 * ndtri(0.9))) ** 2
        next_ones = leading[1:]
        grouped = (leading[:-1] > GROUP_RATIO * next_ones) & (middle > MIDDLE_RATIO * next_ones)
        count = int(np.flatnonzero(grouped)[-1]) + 1 if grouped.any() else 0
    return center, axes[:count]


def pair_surprise(cohort: Cohort) -> Floats:
    """Returns ``(K,)`` standardized scores, see ``Background.surprise``.

    Groups are not modeled, and spreads come from the lower half of the scores. So the photos of a
    person with many photos stand out.
    """
    nowhere = np.zeros((len(cohort.vectors), 0))
    location, spread = _pair_normals(cohort, nowhere, LOWER_QUANTILES)
    return np.asarray((cohort.pair_scores() - location) / spread)


def _pair_normals(
    cohort: Cohort, coordinates: Floats, quantiles: tuple[float, float] = SPREAD_QUANTILES
) -> tuple[Floats, Floats]:
    """Location and spread of the score of each pair, in the order of ``Cohort.pairs``."""
    structure = coordinates @ coordinates.T
    # Row i holds the scores of photo i with its partners, in their order.
    other = cohort.partners()
    row = np.arange(len(other))[:, None]
    scores = (cohort.scores - structure)[row, other]
    count = other.shape[1]
    shift = np.zeros(len(other))
    middle = float(np.median(scores))
    for _ in range(4):
        rest = scores - middle - shift[:, None] - shift[other]
        shift = shift + 0.7 * np.median(rest, axis=1)
        shift -= np.median(shift)
        middle = float(np.median(scores - shift[:, None] - shift[other]))
    rest = scores - middle - shift[:, None] - shift[other]
    low, high = np.quantile(rest, quantiles, axis=1)
    spread = np.maximum((high - low) / (ndtri(quantiles[1]) - ndtri(quantiles[0])), 1e-6)
    shift = _shrink(shift, 1.25**2 * float(np.median(spread)) ** 2 / count)
    log_spread = np.log(spread)
    spread = np.exp(log_spread.mean() + _shrink(log_spread - log_spread.mean(), 1.0 / count))
    i, j = cohort.pairs()
    return (
        middle + shift[i] + shift[j] + structure[i, j],
        spread[i] * spread[j] / np.sqrt((spread**2).mean()),
    )


def _shrink(values: Floats, noise_variance: float) -> Floats:
    """Removes the sampling noise from the variance of ``values``."""
    variance = float(values.var())
    return values * np.sqrt(max(1 - noise_variance / variance, 0.0)) if variance > 0 else values


def _piecewise(x: Floats, xs: Floats, ys: Floats) -> Floats:
    """Linear interpolation, extrapolated with the slope of the outer segments."""
    y = np.interp(x, xs, ys)
    first = (ys[1] - ys[0]) / (xs[1] - xs[0])
    last = (ys[-1] - ys[-5]) / (xs[-1] - xs[-5])
    y = np.where(x < xs[0], ys[0] + (x - xs[0]) * first, y)
    return np.where(x > xs[-1], ys[-1] + (x - xs[-1]) * last, y)
