"""Fits domains to labelled photos: mean, and whitening of within-person variation.

Within-class covariance normalization gives less weight to directions in which photos of one person
differ much (A. O. Hatch, S. Kajarekar and A. Stolcke, "Within-class covariance normalization for
SVM-based speaker recognition", Interspeech 2006). The covariance is shrunk toward the identity;
cross-validation over people decides whether whitening is used.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from visavis.decision.cohort import SHRINKAGE
from visavis.decision.cross_fit import CrossFit
from visavis.decision.domain import Domain, people_mean
from visavis.types import Vectors

Floats = NDArray[np.float64]
PersonIndex = NDArray[np.int64]

TRIED: Final = (0.9, 0.8, 0.65, 0.5, 0.35)
"""Candidate weights of the identity."""

FEWEST_PEOPLE: Final = 20
"""Fewest people with two or more photos for a whitening."""

MOST_PHOTOS: Final = 3000
"""Most photos used in cross-validation, of randomly drawn people."""

MOST_OF_ONE: Final = 10
"""Most mated pairs, and photos in the covariance, per person."""

RATES: Final = (1e-2, 1e-3)
"""False match rates at which the mean FNMR is compared."""

SIGNIFICANT: Final = 2.0
"""A whitening is used if it reduces misses by this many standard errors, over people."""


def fit_domain(vectors: Vectors, owners: PersonIndex, *, shrinkage: float | None = None) -> Domain:
    """Fits the mean of per-person means, times ``n / (n + 10)`` for n people, and optionally a
    whitening.

    Args:
        vectors: ``(N, D)`` unit vectors.
        owners: ``(N,)`` whose photo each is.
        shrinkage: weight of the identity in the whitening, in (0, 1]; ``None`` for no whitening.
    """
    people = len(np.unique(owners))
    mean = people_mean(vectors, owners) * np.float32(people / (people + SHRINKAGE))
    if shrinkage is None:
        return Domain(mean, len(vectors), people)
    whitening = _whitening(vectors, owners, shrinkage).astype(np.float32)
    return Domain(mean, len(vectors), people, whitening=whitening, shrinkage=shrinkage)


def choose_shrinkage(vectors: Vectors, owners: PersonIndex, *, seed: int = 0) -> float | None:
    """Chooses the whitening with the lowest FNMR by cross-validation over people.

    Args:
        vectors: ``(N, D)`` unit vectors.
        owners: ``(N,)`` whose photo each is.
        seed: random seed for the folds and for the sample of people.

    Returns:
        The weight of the identity; ``None`` if no whitening is clearly better than none.
    """
    who = np.unique(owners, return_inverse=True)[1]
    if np.count_nonzero(np.bincount(who) > 1) < FEWEST_PEOPLE:
        return None
    order = np.random.default_rng(seed).permutation(who.max() + 1)
    counts = np.cumsum(np.bincount(who)[order])
    some = np.isin(who, order[counts <= max(MOST_PHOTOS, counts[0])])
    x, who = vectors[some], who[some]
    plain = _misses(x, who, None, seed)
    gains = {s: plain - _misses(x, who, s, seed) for s in TRIED}
    best = max(TRIED, key=lambda s: float(gains[s].sum()))
    gain = gains[best]
    error = float(gain.std(ddof=1)) * len(gain) ** 0.5
    return best if float(gain.sum()) > SIGNIFICANT * error else None


def _whitening(vectors: Vectors, owners: PersonIndex, shrinkage: float) -> Floats:
    """``((1 - s) C + s I) ** -0.5``, C the within-person covariance, its mean variance made 1."""
    who = np.unique(owners, return_inverse=True)[1]
    photos = np.bincount(who)
    x = vectors.astype(np.float64)
    means = csr_array((np.ones(len(who)), (who, np.arange(len(who))))) @ x
    several = photos[who] > 1
    rest = (x - means[who] / photos[who][:, None])[several]
    weight = ((np.minimum(photos, MOST_OF_ONE) - 1) / np.maximum(photos - 1, 1))[who[several]]
    covariance = (rest * weight[:, None]).T @ rest
    size = len(covariance)
    scale = float(np.trace(covariance)) / size
    if scale <= 0:
        return np.eye(size)
    values, axes = np.linalg.eigh((1 - shrinkage) * covariance / scale + shrinkage * np.eye(size))
    return np.asarray((axes / np.sqrt(values)) @ axes.T)


def _misses(vectors: Vectors, who: PersonIndex, shrinkage: float | None, seed: int) -> Floats:
    """Returns ``(P,)`` mean FNMR over ``RATES`` for each person with mated pairs."""

    def fit(x: Vectors, owners: PersonIndex) -> Domain:
        return fit_domain(x, owners, shrinkage=shrinkage)

    i, j = np.triu_indices(len(vectors), 1)
    scores = CrossFit(vectors, who, fit, seed=seed).matrix(np.arange(len(vectors)))[i, j]
    mated = who[i] == who[j]
    non_mated, owner = np.sort(scores[~mated]), who[i][mated]
    pairs = np.bincount(owner)
    weight = np.minimum(pairs, MOST_OF_ONE) / np.maximum(pairs, 1)
    total = np.zeros(len(pairs))
    for rate in RATES:
        place = len(non_mated) - 1 - int(rate * len(non_mated))
        total += np.bincount(owner[scores[mated] <= non_mated[place]], minlength=len(pairs))
    return np.asarray((total * weight / len(RATES))[pairs > 0])
