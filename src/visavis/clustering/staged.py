"""The steps that average linkage and DBSCAN share around the algorithm itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.clustering.attaching import POOR, attach
from visavis.clustering.checks import (
    as_quality_scores,
    as_threshold,
    as_vectors,
    canonical_order,
    renumber,
)
from visavis.clustering.clusterer import Constraints, Labels
from visavis.clustering.constraints import ResolvedConstraints, resolve
from visavis.clustering.merging import Merging
from visavis.clustering.repair import split, sums
from visavis.errors import OptionError
from visavis.types import Vectors


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Input of an algorithm: one point per group of must-linked faces.

    Attributes:
        vectors: ``(G, D)`` float32 unit means.
        weight: ``(G,)`` faces per point, 1 or more.
        apart: points that stay apart; an algorithm may ignore it.
    """

    vectors: Vectors
    weight: NDArray[np.float64]
    apart: ResolvedConstraints


class Algorithm(Protocol):
    """Groups points; labels may be negative (single) and may violate ``apart``."""

    def __call__(self, points: Points, /) -> NDArray[np.int64]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AtScore(ABC):
    """Base of clusterers with one score threshold; ``cluster`` below adds the constraints.

    Args:
        threshold: the score, in (-1, 1].
        poor: quality score below which a face is attached last.
        max_faces: more are refused.

    Raises:
        OptionError: a value outside its range.
    """

    threshold: float
    poor: float = POOR
    max_faces: int = 200_000

    def __post_init__(self) -> None:
        as_threshold(self.threshold)

    @property
    @abstractmethod
    def name(self) -> str:
        """Algorithm and options."""

    @abstractmethod
    def group(self, points: Points, /) -> NDArray[np.int64]:
        """See ``Algorithm``."""

    def cluster(
        self,
        vectors: Vectors,
        /,
        *,
        quality_score: NDArray[np.float64] | None = None,
        constraints: Constraints | None = None,
    ) -> Labels:
        """See ``Clusterer.cluster``. Must-links are contracted before, clashes split after."""
        return cluster(
            vectors,
            quality_score,
            constraints,
            algorithm=self.group,
            threshold=self.threshold,
            poor=self.poor,
            max_faces=self.max_faces,
        )


def cluster(
    vectors: Vectors,
    quality_score: NDArray[np.float64] | None,
    constraints: Constraints | None,
    *,
    algorithm: Algorithm,
    threshold: float,
    poor: float = POOR,
    max_faces: int | None = None,
) -> Labels:
    """Clusters templates with an algorithm that ignores constraints and quality.

    1. Must-linked faces become one point: the unit mean of the good faces among them.
    2. Points are put in a canonical order, so that the result does not depend on the input order.
    3. ``algorithm`` groups the points that have a good face.
    4. Clusters that violate constraints are split (``repair.split``).
    5. Poor points join the nearest cluster (``attaching.attach``).
    6. Poor points that are near to no cluster are grouped among themselves, as in 3 and 4.

    Args:
        vectors: see ``Clusterer.cluster``.
        quality_score: see ``Clusterer.cluster``.
        constraints: see ``Clusterer.cluster``.
        algorithm: groups points.
        threshold: lowest score to attach a poor face or to join a split-off part.
        poor: quality score below which a face is poor.
        max_faces: most faces allowed; ``None``: no limit.

    Returns:
        ``(N,)`` labels in order of first appearance.

    Raises:
        OptionError: see ``Clusterer.cluster``; or too many faces.
        ConstraintError: see ``Clusterer.cluster``.
    """
    vectors = as_vectors(vectors)
    usable = as_quality_scores(quality_score, len(vectors))
    resolved = resolve(constraints, len(vectors))
    if max_faces is not None and len(vectors) > max_faces:
        raise OptionError(
            f"{len(vectors):,} faces for an algorithm whose work or memory grows with their square",
            f"use the default algorithm, or allow more than {max_faces:,} with max_faces",
        )
    order = canonical_order(vectors)
    found = _ordered(
        vectors[order],
        usable[order] >= poor,
        resolved.reorder(order),
        algorithm=algorithm,
        threshold=threshold,
    )
    labels = np.empty(len(order), dtype=np.int64)
    labels[order] = found
    return renumber(labels)


def _ordered(
    vectors: Vectors,
    good: NDArray[np.bool_],
    resolved: ResolvedConstraints,
    *,
    algorithm: Algorithm,
    threshold: float,
) -> Labels:
    count = resolved.count
    has_good = np.zeros(count, dtype=np.bool_)
    has_good[resolved.group[good]] = True
    # A poor face counts only in a point without good faces.
    counted = (good | ~has_good[resolved.group]).astype(np.float64)
    total = sums(vectors, resolved, weights=counted)
    weight = np.bincount(resolved.group, counted, minlength=count).astype(np.float64)
    points = Points(_units(total, vectors, resolved), weight, resolved)
    labels = np.full(count, -1, dtype=np.int64)
    labels[has_good] = _group(points, has_good, total, algorithm, threshold)
    labels = attach_poor(labels, total, weight, resolved, threshold)
    left = labels < 0
    if left.any():
        labels[left] = (
            labels.max(initial=-1) + 1 + _group(points, left, total, algorithm, threshold)
        )
    return renumber(labels)[resolved.group]


def attach_poor(
    labels: Labels,
    total: NDArray[np.float64],
    weight: NDArray[np.float64],
    resolved: ResolvedConstraints,
    threshold: float,
) -> Labels:
    """Attaches the poor points; a cluster has the number of one of its points."""
    standing = np.flatnonzero(labels >= 0)
    _, first, codes = np.unique(labels[standing], return_index=True, return_inverse=True)
    named = np.full_like(labels, -1)
    named[standing] = standing[first[codes]]
    summed, faces = total.astype(np.float32), weight.copy()
    others = np.setdiff1d(standing, standing[first])
    np.add.at(summed, named[others], summed[others])
    np.add.at(faces, named[others], weight[others])
    merging = Merging(summed, faces, resolved, center=0.0)
    return attach(named, merging, resolved, cosine=-np.inf, mean=threshold)


def _group(
    points: Points,
    kept: NDArray[np.bool_],
    total: NDArray[np.float64],
    algorithm: Algorithm,
    threshold: float,
) -> Labels:
    """Groups some of the points and splits clusters that clash."""
    apart = points.apart.only(kept)
    if apart.count < 2:
        return np.zeros(apart.count, dtype=np.int64)
    found = renumber(algorithm(Points(points.vectors[kept], points.weight[kept], apart)))
    return renumber(split(found, total[kept], apart, threshold=threshold))


def _units(total: NDArray[np.float64], vectors: Vectors, resolved: ResolvedConstraints) -> Vectors:
    """Unit means; a zero mean (opposite templates) becomes the group's first template."""
    length = np.linalg.norm(total, axis=1)
    units = total / np.where(length > 1e-6, length, 1)[:, None]
    empty = np.flatnonzero(length <= 1e-6)
    if len(empty):
        _, first = np.unique(resolved.group, return_index=True)
        units[empty] = vectors[first[empty]]
    return units.astype(np.float32)
