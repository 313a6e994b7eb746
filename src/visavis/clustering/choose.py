"""Clustering algorithms by name, with thresholds derived from a false-merge rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.clustering.agglomerative import Agglomerative
from visavis.clustering.attaching import POOR
from visavis.clustering.clusterer import Clusterer, Constraints, Labels
from visavis.clustering.dbscan import Dbscan
from visavis.clustering.graph_linkage import GraphLinkage
from visavis.clustering.thresholds import FmrCurve
from visavis.errors import OptionError
from visavis.types import OperatingPoint, Vectors

DEFAULT: Final = "graph-linkage"

_AVERAGE_FMR: Final = 0.01
"""False match rate, per false-merge rate, of the mean score at which two clusters merge."""

_SINGLE_PAIRS: Final = 3.0
"""Factor by which non-mated pairs above the score must be rarer where one pair joins two people."""

AT_SCORE: Final[Mapping[str, Callable[[float, float], Clusterer]]] = {
    "average": lambda score, poor: Agglomerative(threshold=score, poor=poor),
    "dbscan": lambda score, poor: Dbscan(threshold=score, poor=poor),
}
"""Algorithms that take one score: name -> (score, poor-face limit) -> clusterer."""

NAMES: Final = (DEFAULT, *AT_SCORE)


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


def by_name(
    name: str, curve: FmrCurve, *, false_merge_rate: float = 0.01, poor: float = POOR
) -> Clusterer:
    """Creates a clusterer for a false-merge rate.

    All but the default use one score per collection, ``score_for``; it is computed when the number
    of faces is known.

    Args:
        name: one of ``NAMES``.
        curve: the model's non-mated scores.
        false_merge_rate: accepted share of faces that end up beside a stranger, in (0, 1).
        poor: quality score below which a face is attached last.

    Raises:
        OptionError: no such algorithm, or a rate outside (0, 1).
    """
    if name == DEFAULT:
        return GraphLinkage(curve, false_merge_rate=false_merge_rate, poor=poor)
    require(name)
    curve.for_faces(1, false_merge_rate=false_merge_rate)
    return _AtRate(name, curve, false_merge_rate, poor)


def require(name: str) -> None:
    """Raise OptionError unless there is an algorithm of that name."""
    if name not in NAMES:
        raise OptionError(f"algorithm {name!r}", f"choose one of {', '.join(NAMES)}")


def score_for(name: str, curve: FmrCurve, *, faces: int, false_merge_rate: float) -> float:
    """Returns the score threshold of an algorithm of ``AT_SCORE`` for a number of faces.

    Chosen on LFW's View 1 training people. Average linkage compares clusters: its false match rate
    is proportional to the false-merge rate. DBSCAN can join two people by a single pair, and larger
    collections have more pairs: its score is ``FmrCurve.for_faces`` for three times the faces.

    >>> curve = FmrCurve((0.2, 0.3, 0.4, 0.6), (1e-1, 1e-2, 1e-3, 1e-7))
    >>> for name in ("average", "dbscan"):
    ...     round(score_for(name, curve, faces=1000, false_merge_rate=0.01), 2)
    0.45
    0.48
    """
    if name == "average":
        return curve.score(_AVERAGE_FMR * false_merge_rate)
    return curve.for_faces(int(_SINGLE_PAIRS * faces), false_merge_rate=false_merge_rate)


@dataclass(frozen=True, slots=True)
class _AtRate:
    """An algorithm of ``AT_SCORE`` whose score depends on the number of faces."""

    algorithm: str
    curve: FmrCurve
    false_merge_rate: float
    poor: float

    @property
    def name(self) -> str:
        return f"{self.algorithm}, false-merge rate {self.false_merge_rate:g}"

    def cluster(
        self,
        vectors: Vectors,
        /,
        *,
        quality_score: NDArray[np.float64] | None = None,
        constraints: Constraints | None = None,
    ) -> Labels:
        score = score_for(
            self.algorithm,
            self.curve,
            faces=max(1, len(vectors)),
            false_merge_rate=self.false_merge_rate,
        )
        chosen = AT_SCORE[self.algorithm](score, self.poor)
        return chosen.cluster(vectors, quality_score=quality_score, constraints=constraints)
