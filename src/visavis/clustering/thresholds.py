"""Score thresholds for a false-merge rate, from the non-mated scores of a calibration.

Clustering compares all pairs, so its risk grows with the collection. With K clusters of K people,
each cluster has about K x FMR non-mated matches above the threshold, where FMR is the calibration's
false match rate there. Few of them become a merge: two clusters must be each other's best match,
and their other photos usually keep them apart. Measured on LFW's View 1 training people in
collections of 8 to 4,038 people, and on ORL, the share of faces in the cluster of another person is
a seventh of K x FMR or less (``docs/concepts/clustering.md``, which names the exceptions with very
poor photos). So for a false-merge rate ``rate`` the threshold is where FMR = 7 x rate / K.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from visavis.errors import OptionError
from visavis.types import OperatingPoint, Record, Vectors

CHANCES_A_MERGE: Final = 7.0
"""Non-mated matches above the threshold per falsely merged face."""

LOOSEST: Final = 1e-3
"""Highest false match rate used, even for a small collection: the people of one album (relatives)
are more alike than those of a calibration."""

_COMPARED: Final = 0.1
"""False match rate at which a collection is compared with the calibration: low enough to reflect
similar people, high enough that a person split over two clusters does not matter."""

_PAIRS: Final = 400_000
_CHUNK: Final = 1 << 16
_FEWEST_CLUSTERS: Final = 20

TYPICAL_OF_CLUSTERS: Final = 1e-4
"""False match rate of the lowest mean score of two clusters that merge."""


@dataclass(frozen=True, slots=True)
class FmrCurve(Record):
    """False match rate as a function of the score, from a calibration.

    Attributes:
        thresholds: scores, ascending (equal ones allowed), two or more that differ.
        fmr: false match rate at each, in (0, 1), descending likewise.
        typical: median non-mated score. ``None``: extrapolated, by a straight line in normal
            deviates through the highest rate and the first of at most half of it.

    Raises:
        OptionError: a value outside its range.

    Example:
        >>> curve = FmrCurve((0.2, 0.3, 0.4, 0.5), (1e-1, 1e-2, 1e-3, 1e-5))
        >>> round(curve.score(1e-4), 3), round(curve.rate(0.45), 6)
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
                f"a typical non-mated score of {self.center:.3g}",
                f"give one above -1 and below the highest threshold, {scores[-1]:.3g}",
            )

    @property
    def center(self) -> float:
        """Median non-mated score: ``typical``, or extrapolated from the rates."""
        if self.typical is not None:
            return float(self.typical)
        rates, scores = np.asarray(self.fmr), np.asarray(self.thresholds)
        lower = np.flatnonzero(rates <= rates[0] / 2)
        other = int(lower[0]) if len(lower) else -1
        z = -ndtri(rates)
        slope = (scores[other] - scores[0]) / (z[other] - z[0])
        return float(max(scores[0] - slope * z[0], -0.5))

    def score(self, fmr: float) -> float:
        """Returns the score at a false match rate, by log-linear interpolation.

        Outside the measured rates it returns the score of the nearest rate: no extrapolation.
        """
        return float(np.interp(-np.log(fmr), -np.log(self.fmr), self.thresholds))

    def rate(self, score: float) -> float:
        """Returns the false match rate at a score, the inverse of ``score``."""
        return float(np.exp(np.interp(score, self.thresholds, np.log(self.fmr))))

    def for_faces(self, clusters: int, *, false_merge_rate: float) -> float:
        """Returns the score threshold for two single faces.

        Args:
            clusters: number of clusters (or people) in the collection.
            false_merge_rate: accepted share of faces in the cluster of another person, in (0, 1).

        >>> curve = FmrCurve((0.2, 0.3, 0.4, 0.5), (1e-1, 1e-2, 1e-3, 1e-5))
        >>> [round(curve.for_faces(k, false_merge_rate=0.01), 2) for k in (2, 700, 10**6)]
        [0.4, 0.45, 0.5]
        """
        if not 0 < false_merge_rate < 1:
            raise OptionError(
                f"a false-merge rate of {false_merge_rate}", "give one in (0, 1), such as 0.01"
            )
        accepted = CHANCES_A_MERGE * false_merge_rate / max(clusters, 1)
        return self.score(min(accepted, LOOSEST))

    def for_clusters(self, faces: float) -> float:
        """Returns the lowest mean score at which two clusters may merge.

        Args:
            faces: the threshold for two faces, see ``for_faces``.
        """
        return min(faces, self.score(TYPICAL_OF_CLUSTERS))

    def excess(self, vectors: Vectors, labels: NDArray[np.int64]) -> float:
        """Returns how much higher non-mated scores are here than in the calibration, 0 or more.

        People of one family, region or age are more alike than those of a calibration, and so are
        all photos of a poor camera. Compares the score that one in ten pairs from different
        clusters reaches. 0 for fewer than 20 clusters, or if the calibration has no rate that high.

        Args:
            vectors: ``(N, D)`` templates.
            labels: ``(N,)`` clusters; too many are better than too few.
        """
        if self.fmr[0] < _COMPARED * 0.999 or len(np.unique(labels)) < _FEWEST_CLUSTERS:
            return 0.0
        rng = np.random.default_rng(0)
        a, b = rng.integers(0, len(vectors), (2, _PAIRS))
        apart = labels[a] != labels[b]
        a, b = a[apart], b[apart]
        scores = [
            np.einsum("nd,nd->n", vectors[a[k : k + _CHUNK]], vectors[b[k : k + _CHUNK]])
            for k in range(0, len(a), _CHUNK)
        ]
        own = float(np.quantile(np.concatenate(scores), 1 - _COMPARED))
        return max(0.0, own - self.score(_COMPARED))


def fmr_curve_of(
    points: Sequence[OperatingPoint], reference: Mapping[str, tuple[float, ...]] | None = None
) -> FmrCurve:
    """Builds the non-mated score model from a calibration.

    Args:
        points: operating points, in any order.
        reference: reference quantiles, which may include the median non-mated score.

    Raises:
        OptionError: fewer than two points.
    """
    ascending = sorted(points, key=lambda point: point.threshold)
    typical = None
    if reference and "non_mated" in reference and "quantiles" in reference:
        typical = float(np.interp(0.5, reference["quantiles"], reference["non_mated"]))
    return FmrCurve(
        thresholds=tuple(point.threshold for point in ascending),
        fmr=tuple(point.target_fmr for point in ascending),
        typical=typical,
    )
