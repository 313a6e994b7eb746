"""From a false-merge rate to scores, by what a calibration says of strangers.

A clustering compares everybody with everybody, so what it risks grows with the collection. Of K
clusters that are K people, each has K - 1 chances to find a stranger above the threshold: K x FMR
of them, where FMR is the calibration's false match rate there. Few of these become a merge, since
the two must be each other's best, and most are kept apart by the rest of their clusters' photos.
Measured on LFW's View 1 training people in collections of 8 to 4,038 people, and on ORL, the share
of faces that end up beside a stranger is a seventh of it or less (``docs/concepts/clustering.md``,
which says where photos are so poor that it is not). So for a share of ``rate`` the threshold lies
where FMR = 7 x rate / K.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from visavis.errors import OptionError
from visavis.types import Record, Vectors

CHANCES_A_MERGE: Final = 7.0
"""Strangers above the threshold for each face that ends up beside one."""

LOOSEST: Final = 1e-3
"""Highest false match rate at which two faces are one person, however small the collection: the
people of one album are more alike (relatives) than those of a calibration."""

_COMPARED: Final = 0.1
"""False match rate at which a collection's strangers are compared with the calibration's: so low
that it is of strangers who are somewhat alike, so high that people in two clusters don't count."""

_PAIRS: Final = 400_000
_CHUNK: Final = 1 << 16
_FEWEST_CLUSTERS: Final = 20

TYPICAL_OF_CLUSTERS: Final = 1e-4
"""False match rate of the lowest mean score at which two clusters are one person."""


@dataclass(frozen=True, slots=True)
class FmrCurve(Record):
    """How high the scores of two different people come, from a model's calibration.

    Attributes:
        thresholds: scores, ascending (equal ones allowed), two or more that differ.
        fmr: false match rate at each, in (0, 1), descending likewise.
        typical: median score of two strangers; ``None``: where the rates say it is, by a straight
            line in normal deviates through the loosest and the first of at most half its rate.

    Raises:
        OptionError: other numbers.

    Example:
        >>> strangers = FmrCurve((0.2, 0.3, 0.4, 0.5), (1e-1, 1e-2, 1e-3, 1e-5))
        >>> round(strangers.score(1e-4), 3), round(strangers.rate(0.45), 6)
        (0.45, 0.0001)
    """

    thresholds: tuple[float, ...]
    fmr: tuple[float, ...]
    typical: float | None = None

    def __post_init__(self) -> None:
        scores, rates = np.asarray(self.thresholds), np.asarray(self.fmr)
        usable = (
            scores.shape == rates.shape
            and scores.ndim == 1
            and len(scores) >= 2
            and bool((np.diff(scores) >= 0).all() and scores[0] < scores[-1])
            and bool((np.diff(rates) <= 0).all() and rates[0] > rates[-1])
            and bool(((rates > 0) & (rates < 1)).all())
            and bool(((scores > -1) & (scores <= 1)).all())
        )
        if not usable:
            raise OptionError(
                f"{len(scores)} thresholds with {len(rates)} false match rates",
                "give two or more scores in (-1, 1], ascending, and the rate at each in (0, 1), "
                "descending",
            )
        if not -1 < self.center < scores[-1]:
            raise OptionError(
                f"a typical score of strangers of {self.center:.3g}",
                f"give one above -1 and below the highest threshold, {scores[-1]:.3g}",
            )

    @property
    def center(self) -> float:
        """Median score of two strangers: ``typical``, or what the rates say."""
        if self.typical is not None:
            return float(self.typical)
        rates, scores = np.asarray(self.fmr), np.asarray(self.thresholds)
        lower = np.flatnonzero(rates <= rates[0] / 2)
        other = int(lower[0]) if len(lower) else -1
        z = -ndtri(rates)
        slope = (scores[other] - scores[0]) / (z[other] - z[0])
        return float(max(scores[0] - slope * z[0], -0.5))

    def score(self, fmr: float) -> float:
        """The score at a false match rate, log-linear between two of the calibration.

        Outside the rates that were measured it stays at the nearest of them: a calibration is not
        extrapolated.
        """
        return float(np.interp(-np.log(fmr), -np.log(self.fmr), self.thresholds))

    def rate(self, score: float) -> float:
        """The false match rate at a score, the inverse of ``score``."""
        return float(np.exp(np.interp(score, self.thresholds, np.log(self.fmr))))

    def for_faces(self, clusters: int, *, false_merge_rate: float) -> float:
        """The score at which two faces are one person, in a collection of so many clusters.

        Args:
            clusters: clusters (or people) among which each is sought.
            false_merge_rate: accepted share of faces that end up beside a stranger, in (0, 1).

        >>> strangers = FmrCurve((0.2, 0.3, 0.4, 0.5), (1e-1, 1e-2, 1e-3, 1e-5))
        >>> [round(strangers.for_faces(k, false_merge_rate=0.01), 2) for k in (2, 700, 10**6)]
        [0.4, 0.45, 0.5]
        """
        if not 0 < false_merge_rate < 1:
            raise OptionError(
                f"a false-merge rate of {false_merge_rate}", "give one in (0, 1), such as 0.01"
            )
        accepted = CHANCES_A_MERGE * false_merge_rate / max(clusters, 1)
        return self.score(min(accepted, LOOSEST))

    def for_clusters(self, faces: float) -> float:
        """The lowest mean score at which two clusters are one person.

        Args:
            faces: the score at which two faces are, see ``for_faces``.
        """
        return min(faces, self.score(TYPICAL_OF_CLUSTERS))

    def excess(self, vectors: Vectors, labels: NDArray[np.int64]) -> float:
        """How much higher strangers score in a collection than in the calibration, 0 or more.

        People of one family, region or age are more alike than those of a calibration, and so are
        all photos of a poor camera. The score that one in ten pairs of faces of different clusters
        reaches tells, by the difference. 0 where there are fewer than 20 clusters, or where the
        calibration does not reach so high a rate.

        Args:
            vectors: ``(N, D)`` templates.
            labels: ``(N,)`` clusters, rather too many than too few.
        """
        if self.fmr[0] < _COMPARED * 0.999 or len(np.unique(labels)) < _FEWEST_CLUSTERS:
            return 0.0
        rng = np.random.default_rng(0)
        a, b = rng.integers(0, len(vectors), (2, _PAIRS))
        strangers = labels[a] != labels[b]
        a, b = a[strangers], b[strangers]
        scores = [
            np.einsum("nd,nd->n", vectors[a[k : k + _CHUNK]], vectors[b[k : k + _CHUNK]])
            for k in range(0, len(a), _CHUNK)
        ]
        own = float(np.quantile(np.concatenate(scores), 1 - _COMPARED))
        return max(0.0, own - self.score(_COMPARED))
