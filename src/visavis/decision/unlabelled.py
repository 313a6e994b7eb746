"""Where a false match rate lies for photos without labels: another camera, another population.

A threshold measured on one set of photos does not hold on another: blur, age, light and who is in
the photos move the scores of strangers. A few hundred photos of mostly different people, names
unknown, tell by how much. Four steps: scores about the photos' own mean (``cohort``); a model of
each pair's score fitted by medians (``background``); from it, which pairs are probably mates
(``tail.stranger_probability``); and how the tail of the others departs from the model
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
from visavis.decision.tail import TailShape, fit_shape, stranger_probability
from visavis.errors import CalibrationError, OptionError
from visavis.types import Record, Vectors

Floats = NDArray[np.float64]

FEWEST_PHOTOS: Final = 50
MOST_PHOTOS: Final = 2000
"""Of more photos as many are drawn at random; their two million pairs say what there is to say."""

HALF_SAMPLES: Final = 32
LARGEST_HALF: Final = 300

MOST_OF_ONE: Final = 0.05
ONE_PERSON: Final = 4.0
"""Photos beyond so large a share are left out where their pairs' mean surprise is as high as this:
strangers are mistaken for mates or mates for strangers where one person owns a fifth. Seen on the
look-alikes of ``benchmarks/unlabelled.py``: all groups found there were of one person."""

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
        domain: the photos' own mean, about which the scores are; ``None`` for plain templates.
    """

    photos: int
    pairs: int
    mated_pairs: float
    background: Background
    shape: TailShape
    sampling_sd: Floats
    domain: Domain | None = None

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
    other: Vectors | None = None,
    /,
    *,
    center: bool = True,
    shape: ReferenceShape = ReferenceShape(),
    seed: int = 0,
    half_samples: int = HALF_SAMPLES,
) -> NonMatedEstimate:
    """Estimate the non-mated scores of the population and camera behind some photos.

    Mated pairs among the photos are tolerated while they are few: most photos may have a mate, but
    a pair drawn at random should be of two people in at least 97 of 100 cases.

    Args:
        vectors: ``(N, D)`` unit vectors, one a photo, N at least 50.
        other: ``(M, D)`` photos of a second camera, where those of one are compared with those of
            the other; each side is centered on its own mean. As many of both are used.
        center: score about the photos' own mean (``domain``); else as the templates are.
        shape: what the labelled reference of the model shows, likewise centered or not.
        seed: decides the half-samples, and the photos used where there are more than 2000.
        half_samples: how many; fewer than 2 leave the sampling error at zero.

    Raises:
        CalibrationError: fewer than 50 photos.
        OptionError: not an ``(N, D)`` matrix of finite unit vectors.
    """
    rng = np.random.default_rng(seed)
    sides = [_checked(vectors)] if other is None else [_checked(vectors), _checked(other)]
    most = min(MOST_PHOTOS // len(sides), *(len(x) for x in sides))
    logs = []
    # Many small products: on several threads they would wait for one another.
    with threadpool_limits(1, user_api="blas"):
        sides = [_thinned(_drawn(x, most, rng), rng) for x in sides]
        most = min(len(x) for x in sides)
        sides = [_drawn(x, most, rng) for x in sides]
        cohort, domain = Cohort.plain(*sides), None
        if center:
            mates = [1 - _strangers(side, shape, rng) for side in cohort.same_side()]
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
        # A sample of n out of N without replacement varies about the whole with variance
        # (1/n - 1/N); the whole varies about the truth with 1/N.
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
    """Tail shapes of a labelled reference: what ``estimate_non_mated`` starts from.

    Twenty times two hundred people are drawn, or all if there are fewer, with one photo each, and
    the shapes fitted to the pairs of all draws together.

    Args:
        vectors: ``(N, D)`` unit vectors.
        people: ``(N,)`` whose photo each is.
        seed: decides the draws.
        cross_fit: of the same photos in the same order: where the scores come from instead.

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
    weights = stranger_probability(background.surprise, prior=shape.surprise)
    deviates = background.deviate(background.scores)
    return background, fit_shape(deviates, weights, prior=shape.tail), float((1 - weights).sum())


def _drawn(x: Vectors, count: int, rng: np.random.Generator) -> Vectors:
    return x if len(x) <= count else x[np.sort(rng.choice(len(x), count, replace=False))]


def _thinned(x: Vectors, rng: np.random.Generator) -> Vectors:
    """The photos without those of any person beyond ``MOST_OF_ONE``, chosen at random.

    A person is a group whose pairs are far above what is usual for their photos: among children,
    who are alike, no group is.
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


def _strangers(side: Cohort, shape: ReferenceShape, rng: np.random.Generator) -> Floats:
    """Probability that each pair of plain templates shows two people."""
    return stranger_probability(fit_background(side, rng).surprise, prior=shape.surprise)


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
