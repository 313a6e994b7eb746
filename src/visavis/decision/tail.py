"""Fits the upper tail of unlabelled pair scores, a mixture of non-mated and few mated pairs.

Scores are first mapped to normal deviates w under the ``background`` model of the photos. If that
model were exact, non-mated pairs would be standard normal. Two things are fitted: how their tail
deviates from it (``TailShape``), and which pairs are mated. Both maximize a posterior with the
likelihood of the binned deviates; the prior of the shape is centered on the labelled reference
data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import ndtr

from visavis.types import Record

Floats = NDArray[np.float64]

PIVOT: Final = 2.0
EDGES: Final = np.array(
    [
        *(1.3, 1.5, 1.7, 1.9, 2.1, 2.3, 2.5, 2.7, 2.9, 3.1, 3.3, 3.5, 3.75),
        *(4.0, 4.25, 4.5, 4.75, 5.0, 5.5, 6.0, 7.0, 8.0, np.inf),
    ]
)
LOWER: Final = EDGES[:-1]

SHIFT_SD: Final = 0.08
SLOPE_SD: Final = 0.05
"""Variation of the shape between sets of photos, measured on degraded and regrouped photos of LFW's
View 1 training people (``benchmarks/unlabelled.py``)."""

MATES_MEAN: Final = (5.0, 2.0)
MATES_LOG_WIDTH: Final = (0.2, 0.3)
"""Mean and standard deviation of the priors of the mated location, in deviates."""

WEIGHT: Final = 0.5
"""Pairs share photos, so their counts carry less information than independent ones."""


@dataclass(frozen=True, slots=True)
class TailShape(Record):
    """Deviation of the non-mated tail from the background model.

    The deviate of the non-mated distribution is ``u = w - shift - slope * (w - 2)`` at the deviate
    w of the background model.

    Attributes:
        shift: deviation at w = 2.
        slope: change of the deviation per unit above 2.
    """

    shift: float = 0.0
    slope: float = 0.0

    def true_deviate(self, deviates: NDArray[np.floating] | float) -> Floats:
        """Maps deviates of the background model to those of the non-mated distribution."""
        w = np.asarray(deviates, dtype=np.float64)
        return w - self.shift - self.slope * (w - PIVOT)

    def model_deviate(self, deviates: NDArray[np.floating] | float) -> Floats:
        """Inverse of ``true_deviate``."""
        u = np.asarray(deviates, dtype=np.float64)
        return (u + self.shift - self.slope * PIVOT) / (1 - self.slope)


def fit_shape(
    deviates: Floats,
    weights: Floats | None = None,
    *,
    prior: TailShape,
) -> TailShape:
    """Fits the shape of the tail to non-mated pairs.

    Args:
        deviates: one per pair, under the background model.
        weights: probability that each pair is non-mated; 1 if ``None``.
        prior: center of the prior.
    """
    total, counts = _binned(deviates, weights)

    def loss(theta: Floats) -> float:
        expected = total * _non_mated_weights(TailShape(float(theta[0]), float(theta[1])))
        return _misfit(counts, expected) + _penalty(theta, prior)

    start = np.array([prior.shift, prior.slope])
    best = minimize(loss, start, method="L-BFGS-B", bounds=[(-0.8, 0.8), (-0.5, 0.5)])
    return TailShape(float(best.x[0]), float(best.x[1]))


def non_mated_probability(surprise: Floats, *, prior: TailShape) -> Floats:
    """Returns the probability that each pair is non-mated.

    Fits two components to the tail: non-mated pairs with a free shape, and mated pairs with free
    number, mean and width.

    Args:
        surprise: one per pair, see ``Background``.
        prior: center of the prior of the non-mated shape.

    Returns:
        One probability per pair, non-increasing in ``surprise``.
    """
    total, counts = _binned(surprise, None)

    def loss(theta: Floats) -> float:
        shift, slope, log_mates, mean, log_width = theta
        expected = (total - np.exp(log_mates)) * _non_mated_weights(TailShape(shift, slope))
        expected = expected + np.exp(log_mates) * _mates(mean, np.exp(log_width))
        return float(
            _misfit(counts, expected)
            + _penalty(theta[:2], prior)
            + ((mean - MATES_MEAN[0]) / MATES_MEAN[1]) ** 2 / 2
            + ((log_width - MATES_LOG_WIDTH[0]) / MATES_LOG_WIDTH[1]) ** 2 / 2
            + ((log_mates - 1.0) / 4.0) ** 2 / 2
        )

    bounds = [(-0.8, 0.8), (-0.5, 0.5), (-4.0, np.log(total / 2)), (1.0, 20.0), (-1.0, 1.5)]
    many = np.log((surprise > 4).sum() + 0.5)
    fits = [
        minimize(
            loss,
            np.array([prior.shift, prior.slope, many, mean, MATES_LOG_WIDTH[0]]),
            method="L-BFGS-B",
            bounds=bounds,
        )
        for mean in (3.5, 5.5, 8.0)
    ]
    shift, slope, log_mates, mean, log_width = min(fits, key=lambda fit: float(fit.fun)).x
    u = TailShape(shift, slope).true_deviate(surprise)
    width, mates = np.exp(log_width), np.exp(log_mates)
    # Log densities, because both underflow in the tail.
    log_non_mated = np.log((total - mates) * (1 - slope)) - u**2 / 2
    log_mates_density = np.log(mates / width) - ((surprise - mean) / width) ** 2 / 2
    odds = np.exp(np.clip(log_non_mated - log_mates_density, -700, 700))
    probability = odds / (1 + odds)
    probability[surprise < EDGES[0]] = 1.0
    order = np.argsort(surprise)
    # Beyond the mated mean the densities may cross again; a higher score must not lower the
    # probability of being mated.
    probability[order] = np.minimum.accumulate(probability[order])
    return np.asarray(probability)


def _binned(deviates: Floats, weights: Floats | None) -> tuple[float, Floats]:
    counts = np.histogram(np.minimum(deviates, 1e6), EDGES, weights=weights)[0]
    total = float(len(deviates)) if weights is None else float(weights.sum())
    return total, counts.astype(np.float64)


def _non_mated_weights(shape: TailShape) -> Floats:
    """Share of non-mated pairs in each bin."""
    return np.asarray(-np.diff(ndtr(-shape.true_deviate(LOWER)), append=0.0))


def _mates(mean: float, width: float) -> Floats:
    """Share of mated pairs in each bin."""
    return np.asarray(-np.diff(ndtr((mean - LOWER) / width), append=0.0))


def _misfit(counts: Floats, expected: Floats) -> float:
    """Negative Poisson log-likelihood of the bin counts, discounted."""
    expected = np.maximum(expected, 1e-9)
    return float(WEIGHT * (expected.sum() - (counts * np.log(expected)).sum()))


def _penalty(theta: Floats, prior: TailShape) -> float:
    shift = (theta[0] - prior.shift) / SHIFT_SD
    slope = (theta[1] - prior.slope) / SLOPE_SD
    return float(shift**2 + slope**2) / 2
