"""Estimates false match rates on unlabelled photos, for another camera or population.

A threshold measured on one set of photos does not hold on another: blur, age, light and population
shift non-mated scores. A few hundred photos of mostly different people, without names, show by how
much. Four steps: scores centered on the photos' own mean (``cohort``); a model of each pair's score
fitted by medians (``background``); the pairs that are probably mated
(``tail.non_mated_probability``); and the deviation of the others' tail from the model
(``tail.fit_shape``), with a prior from the labelled reference. Half-samples of the photos give the
uncertainty.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_ndtr, ndtr, ndtri
from threadpoolctl import threadpool_limits

from visavis.decision.background import Background, fit_background, pair_surprise
from visavis.decision.cohort import Cohort
from visavis.decision.cross_fit import CrossFit
from visavis.decision.domain import Domain
from visavis.decision.tail import TailShape, fit_shape, non_mated_probability
from visavis.errors import CalibrationError, OptionError
from visavis.types import Record, Vectors

Floats = NDArray[np.float64]

FEWEST_PHOTOS: Final = 50
MOST_PHOTOS: Final = 2000
"""Most photos used; a random sample of more. Two million pairs are enough."""

HALF_SAMPLES: Final = 32
LARGEST_HALF: Final = 300

MOST_OF_ONE: Final = 0.05
ONE_PERSON: Final = 4.0
"""Photos beyond this share are left out if the mean surprise of their pairs is as high as this:
mated and non-mated pairs are confused if one person owns a fifth of the photos. Seen on the
look-alikes of ``benchmarks/unlabelled.py``: all groups found there were of one person."""

LEVELS: Final = np.array([0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0])
"""Deviates of the non-mated distribution at which the uncertainty is stored."""

MODEL_SD: Final = np.array([0.03, 0.05, 0.08, 0.12, 0.18, 0.25, 0.38, 0.50, 0.65, 0.80])
"""Model error at ``LEVELS``, standard deviation of the log FMR: the error on sets with known truth
after removing their sampling error (``benchmarks/unlabelled.py``, development sets)."""


@dataclass(frozen=True, slots=True)
class ReferenceShape(Record):
    """Tail shapes of a model's labelled reference photos.

    Attributes:
        tail: shape of the tail of all non-mated pairs.
        surprise: shape of the tail of standardized scores.
    """

    tail: TailShape = field(default_factory=lambda: TailShape(0.05, 0.04))
    surprise: TailShape = field(default_factory=lambda: TailShape(0.025, 0.015))

    def to_numbers(self) -> tuple[float, ...]:
        """Returns four numbers for ``Calibration.reference["shape"]``."""
        return (self.tail.shift, self.tail.slope, self.surprise.shift, self.surprise.slope)

    @classmethod
    def from_numbers(cls, numbers: tuple[float, ...]) -> ReferenceShape:
        """Inverse of ``to_numbers``."""
        return cls(TailShape(*numbers[:2]), TailShape(*numbers[2:]))


@dataclass(frozen=True, slots=True, eq=False)
class NonMatedEstimate:
    """Estimated distribution of the non-mated scores of a set of photos.

    Attributes:
        photos: photos used.
        pairs: pairs among them.
        mated_pairs: number of probably mated pairs, left out.
        background: the pair model.
        shape: deviation of the non-mated tail from it.
        sampling_sd: ``(10,)`` standard deviation of the log FMR at ``LEVELS``, from half-samples.
        domain: the photos' own mean for centering; ``None`` for plain templates.
    """

    photos: int
    pairs: int
    mated_pairs: float
    background: Background
    shape: TailShape
    sampling_sd: Floats
    domain: Domain | None = None

    def fmr(self, threshold: ArrayLike) -> Floats:
        """Returns the false match rate at a threshold, in (0, 1)."""
        return np.asarray(ndtr(-self.deviate(threshold)))

    def deviate(self, threshold: ArrayLike) -> Floats:
        """Returns the normal deviate that is exceeded as often as the threshold."""
        scores = np.asarray(threshold, dtype=np.float64)
        return self.shape.true_deviate(self.background.deviate(scores))

    def threshold(self, fmr: ArrayLike) -> Floats:
        """Returns the score that non-mated pairs reach with probability ``fmr``."""
        deviates = -ndtri(np.asarray(fmr, dtype=np.float64))
        return np.clip(self.background.score(self.shape.model_deviate(deviates)), -1.0, 1.0)

    def log_sd(self, fmr: ArrayLike) -> Floats:
        """Returns the standard deviation of the log of the true FMR if the estimate is ``fmr``."""
        deviates = -ndtri(np.asarray(fmr, dtype=np.float64))
        return np.asarray(np.interp(deviates, LEVELS, np.hypot(self.sampling_sd, MODEL_SD)))

    def fmr_interval(self, threshold: float, *, z: float = 1.96) -> tuple[float, float]:
        """Returns a confidence interval of the FMR at ``threshold``; 95 % by default."""
        rate = float(self.fmr(threshold))
        factor = float(np.exp(z * self.log_sd(rate)))
        return (rate / factor, min(rate * factor, 1.0))


def estimate_non_mated(
    vectors: Vectors,
    other: Vectors | None = None,
    /,
    *,
    center: bool = True,
    shape: ReferenceShape = ReferenceShape(),
    seed: int = 0,
    half_samples: int = HALF_SAMPLES,
) -> NonMatedEstimate:
    """Estimates the non-mated scores of the population and camera of some photos.

    Some mated pairs are tolerated: most photos may have a mate, but at least 97 of 100 random pairs
    should be non-mated.

    Args:
        vectors: ``(N, D)`` unit vectors, one per photo, N at least 50.
        other: ``(M, D)`` photos of a second camera, if pairs across two cameras are compared; each
            side is centered on its own mean. Both sides are cut to the same number.
        center: center the templates on the photos' own mean (``domain``).
        shape: tail shapes of the model's labelled reference, with the same centering.
        seed: random seed for half-samples, and for the photos used if there are more than 2000.
        half_samples: number of half-samples; fewer than 2 give no sampling error.

    Raises:
        CalibrationError: fewer than 50 photos.
        OptionError: not an ``(N, D)`` matrix of finite unit vectors.
    """
    rng = np.random.default_rng(seed)
    sides = [_checked(vectors)] if other is None else [_checked(vectors), _checked(other)]
    most = min(MOST_PHOTOS // len(sides), *(len(x) for x in sides))
    logs = []
    # Many small matrix products: multiple threads would wait for one another.
    with threadpool_limits(1, user_api="blas"):
        sides = [_thinned(_drawn(x, most, rng), rng) for x in sides]
        most = min(len(x) for x in sides)
        sides = [_drawn(x, most, rng) for x in sides]
        cohort, domain = Cohort.plain(*sides), None
        if center:
            mates = [1 - _non_mated_weights(side, shape, rng) for side in cohort.same_side()]
            cohort, domain = cohort.centered(mates)
        size = min(cohort.units // 2, LARGEST_HALF // len(sides))
        background, tail, mated = _fit(cohort, shape, rng)
        scores = background.score(tail.model_deviate(LEVELS))
        for _ in range(half_samples):
            half = cohort.part(np.sort(rng.choice(cohort.units, size, replace=False)))
            part, part_tail, _ = _fit(half, shape, rng)
            logs.append(log_ndtr(-part_tail.true_deviate(part.deviate(scores))))
    spread = np.zeros(len(LEVELS))
    if half_samples >= 2:
        # A sample of n out of N without replacement varies around the whole with variance (1/n -
        # 1/N); the whole varies around the truth with 1/N.
        share = size / cohort.units
        spread = np.std(logs, axis=0, ddof=1) * np.sqrt(share / (1 - share))
    return NonMatedEstimate(
        photos=len(cohort.vectors),
        pairs=len(background.scores),
        mated_pairs=mated,
        background=background,
        shape=tail,
        sampling_sd=spread,
        domain=domain,
    )


def measure_shape(
    vectors: Vectors, people: NDArray[np.int64], *, seed: int = 0, cross_fit: CrossFit | None = None
) -> ReferenceShape:
    """Measures the tail shapes of a labelled reference.

    Draws 200 people (all if there are fewer) twenty times, with one photo each, and fits the shapes
    to the pairs of all draws together.

    Args:
        vectors: ``(N, D)`` unit vectors.
        people: ``(N,)`` person of each photo.
        seed: random seed.
        cross_fit: scores of the same photos in the same order, to use instead.

    Returns:
        The shapes; the default for fewer than 50 people.
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
        cohort = Cohort.plain(x[chosen])
        if cross_fit is not None:
            cohort = replace(cohort, scores=cross_fit.matrix(chosen).astype(np.float64))
        background = fit_background(cohort, rng)
        tails.append(background.deviate(background.scores))
        surprises.append(background.surprise)
    start = ReferenceShape()
    return ReferenceShape(
        fit_shape(np.concatenate(tails), prior=start.tail),
        fit_shape(np.concatenate(surprises), prior=start.surprise),
    )


def _fit(
    cohort: Cohort, shape: ReferenceShape, rng: np.random.Generator
) -> tuple[Background, TailShape, float]:
    background = fit_background(cohort, rng)
    weights = non_mated_probability(background.surprise, prior=shape.surprise)
    deviates = background.deviate(background.scores)
    return background, fit_shape(deviates, weights, prior=shape.tail), float((1 - weights).sum())


def _drawn(x: Vectors, count: int, rng: np.random.Generator) -> Vectors:
    return x if len(x) <= count else x[np.sort(rng.choice(len(x), count, replace=False))]


def _thinned(x: Vectors, rng: np.random.Generator) -> Vectors:
    """Thins the photos of any person beyond ``MOST_OF_ONE``, at random.

    A person is a group of pairs with scores far above the usual for their photos. Among children,
    who are similar to each other, no group is.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    surprise = pair_surprise(Cohort.plain(x))
    highest = max(float(surprise.max()), ONE_PERSON)
    groups = fcluster(linkage(highest - surprise, "average"), highest - ONE_PERSON, "distance")
    most = max(int(MOST_OF_ONE * len(x)), 1)
    order = rng.permutation(len(x))
    by_group = order[np.argsort(groups[order], kind="stable")]
    sizes = np.bincount(groups)
    turn = np.arange(len(x)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return x[np.sort(by_group[turn < most])]


def _non_mated_weights(side: Cohort, shape: ReferenceShape, rng: np.random.Generator) -> Floats:
    """Returns the probability that each pair of plain templates is non-mated."""
    return non_mated_probability(fit_background(side, rng).surprise, prior=shape.surprise)


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
