"""Where a false match rate lies for photos without labels: another camera, another population.

A threshold measured on one set of photos does not hold on another: blur, age, light and who is in
the photos move the scores of strangers. A few hundred photos of mostly different people, names
unknown, tell by how much. Three steps: a model of each pair's score fitted by medians
(``background``); from it, which pairs are probably mates (``tail.stranger_probability``); and how
the tail of the others departs from the model (``tail.fit_shape``), with a prior from the labelled
reference. Half-samples of the photos give the uncertainty.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_ndtr, ndtr, ndtri
from threadpoolctl import threadpool_limits

from visavis.decision.background import Background, fit_background
from visavis.decision.tail import TailShape, fit_shape, stranger_probability
from visavis.errors import CalibrationError, OptionError
from visavis.types import Record, Vectors

Floats = NDArray[np.float64]

FEWEST_PHOTOS: Final = 50
MOST_PHOTOS: Final = 2000
"""Of more photos as many are drawn at random; their two million pairs say what there is to say."""

HALF_SAMPLES: Final = 32
LARGEST_HALF: Final = 300

LEVELS: Final = np.array([0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0])
"""Deviates of the non-mated distribution at which the uncertainty is kept."""

MODEL_SD: Final = np.array([0.03, 0.05, 0.08, 0.12, 0.18, 0.25, 0.38, 0.50, 0.65, 0.80])
"""What the model itself may be off at ``LEVELS``, standard deviation of the log FMR: the misfit
that is left on sets whose truth is known once their sampling error is taken out
(``benchmarks/unlabelled.py``, development sets)."""


@dataclass(frozen=True, slots=True)
class ReferenceShape(Record):
    """What a model's labelled reference photos show about the tails of its scores.

    Attributes:
        tail: shape of the tail of all non-mated pairs.
        surprise: shape of the tail in units of each pair's own spread.
    """

    tail: TailShape = field(default_factory=lambda: TailShape(0.05, 0.04))
    surprise: TailShape = field(default_factory=lambda: TailShape(0.025, 0.015))

    def to_numbers(self) -> tuple[float, ...]:
        """Four numbers, as ``Calibration.reference["shape"]`` keeps them."""
        return (self.tail.shift, self.tail.slope, self.surprise.shift, self.surprise.slope)

    @classmethod
    def from_numbers(cls, numbers: tuple[float, ...]) -> ReferenceShape:
        """The inverse of ``to_numbers``."""
        return cls(TailShape(*numbers[:2]), TailShape(*numbers[2:]))


@dataclass(frozen=True, slots=True, eq=False)
class NonMatedEstimate:
    """Estimated distribution of the non-mated scores of a set of photos.

    Attributes:
        photos: photos used.
        pairs: pairs among them.
        mated_pairs: how many of the pairs are probably mates, and were left out.
        background: the pair model.
        shape: how the non-mated tail departs from it.
        sampling_sd: ``(10,)`` standard deviation of the log FMR at ``LEVELS``, from half-samples.
    """

    photos: int
    pairs: int
    mated_pairs: float
    background: Background
    shape: TailShape
    sampling_sd: Floats

    def fmr(self, threshold: ArrayLike) -> Floats:
        """False match rate at a threshold, in (0, 1)."""
        return np.asarray(ndtr(-self.deviate(threshold)))

    def deviate(self, threshold: ArrayLike) -> Floats:
        """The standard normal deviate that is exceeded as often as the threshold."""
        scores = np.asarray(threshold, dtype=np.float64)
        return self.shape.true_deviate(self.background.deviate(scores))

    def threshold(self, fmr: ArrayLike) -> Floats:
        """Score that non-mated pairs reach with probability ``fmr``."""
        deviates = -ndtri(np.asarray(fmr, dtype=np.float64))
        return np.clip(self.background.score(self.shape.model_deviate(deviates)), -1.0, 1.0)

    def log_sd(self, fmr: ArrayLike) -> Floats:
        """Standard deviation of the log of the true FMR where this estimates ``fmr``."""
        deviates = -ndtri(np.asarray(fmr, dtype=np.float64))
        return np.asarray(np.interp(deviates, LEVELS, np.hypot(self.sampling_sd, MODEL_SD)))

    def fmr_interval(self, threshold: float, *, z: float = 1.96) -> tuple[float, float]:
        """Interval of the true FMR at ``threshold``; 95 % unless told."""
        rate = float(self.fmr(threshold))
        factor = float(np.exp(z * self.log_sd(rate)))
        return (rate / factor, min(rate * factor, 1.0))


def estimate_non_mated(
    vectors: Vectors,
    *,
    shape: ReferenceShape = ReferenceShape(),
    seed: int = 0,
    half_samples: int = HALF_SAMPLES,
) -> NonMatedEstimate:
    """Estimate the non-mated scores of the population and camera behind some photos.

    Mated pairs among the photos are tolerated while they are few: most photos may have a mate, but
    a pair drawn at random should be of two people in at least 97 of 100 cases.

    Args:
        vectors: ``(N, D)`` unit vectors, one a photo, N at least 50.
        shape: what the labelled reference of the model shows.
        seed: decides the half-samples, and the photos used where there are more than 2000.
        half_samples: how many; fewer than 2 leave the sampling error at zero.

    Raises:
        CalibrationError: fewer than 50 photos.
        OptionError: not an ``(N, D)`` matrix of finite unit vectors.
    """
    x = _checked(vectors)
    rng = np.random.default_rng(seed)
    if len(x) > MOST_PHOTOS:
        x = x[np.sort(rng.choice(len(x), MOST_PHOTOS, replace=False))]
    size = min(len(x) // 2, LARGEST_HALF)
    logs = []
    # Many small products: on several threads they would wait for one another.
    with threadpool_limits(1, user_api="blas"):
        background, tail, mated = _fit(x, shape, rng)
        scores = background.score(tail.model_deviate(LEVELS))
        for _ in range(half_samples):
            half = x[np.sort(rng.choice(len(x), size, replace=False))]
            part, part_tail, _ = _fit(half, shape, rng)
            logs.append(log_ndtr(-part_tail.true_deviate(part.deviate(scores))))
    spread = np.zeros(len(LEVELS))
    if half_samples >= 2:
        # A sample of n out of N without replacement varies about the whole with variance
        # (1/n - 1/N); the whole varies about the truth with 1/N.
        share = size / len(x)
        spread = np.std(logs, axis=0, ddof=1) * np.sqrt(share / (1 - share))
    return NonMatedEstimate(
        photos=len(x),
        pairs=len(background.scores),
        mated_pairs=mated,
        background=background,
        shape=tail,
        sampling_sd=spread,
    )


def measure_shape(vectors: Vectors, people: NDArray[np.int64], *, seed: int = 0) -> ReferenceShape:
    """Tail shapes of a labelled reference: what ``estimate_non_mated`` starts from.

    Twenty times two hundred people are drawn, or all if there are fewer, with one photo each, and
    the shapes fitted to the pairs of all draws together.

    Args:
        vectors: ``(N, D)`` unit vectors.
        people: ``(N,)`` whose photo each is.

    Returns:
        The shapes; the default where there are fewer than 50 people.
    """
    x = _checked(vectors, fewest=1)
    names, owner = np.unique(people, return_inverse=True)
    if len(names) < FEWEST_PHOTOS:
        return ReferenceShape()
    rng = np.random.default_rng(seed)
    tails, surprises = [], []
    for _ in range(20):
        order = rng.permutation(len(x))
        first = np.unique(owner[order], return_index=True)[1]
        chosen = order[rng.permutation(first)[:200]]
        background = fit_background(x[chosen], rng)
        tails.append(background.deviate(background.scores))
        surprises.append(background.surprise)
    start = ReferenceShape()
    return ReferenceShape(
        fit_shape(np.concatenate(tails), prior=start.tail),
        fit_shape(np.concatenate(surprises), prior=start.surprise),
    )


def _fit(
    x: Vectors, shape: ReferenceShape, rng: np.random.Generator
) -> tuple[Background, TailShape, float]:
    background = fit_background(x, rng)
    weights = stranger_probability(background.surprise, prior=shape.surprise)
    deviates = background.deviate(background.scores)
    return background, fit_shape(deviates, weights, prior=shape.tail), float((1 - weights).sum())


def _checked(vectors: Vectors, *, fewest: int = FEWEST_PHOTOS) -> Vectors:
    x = np.asarray(vectors, dtype=np.float32)
    if x.ndim != 2:
        raise OptionError(f"vectors of shape {x.shape}", "give an (N, D) matrix")
    if len(x) < fewest:
        raise CalibrationError(
            f"{len(x)} photos with a face",
            f"give at least {fewest}, better 200, of mostly different people",
        )
    if not np.allclose(np.linalg.norm(x, axis=1), 1.0, atol=1e-3):
        raise OptionError("vectors that are not of unit length", "give the output of an embedder")
    return x
