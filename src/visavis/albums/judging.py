"""Scores of faces with clusters: fit, doubtful faces, and similar clusters."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.types import Vectors

_MOST: Final = 4_000_000_000  # most comparisons; beyond, only large clusters count
_BLOCK: Final = 4096
_LEAST_WEIGHT: Final = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class ClusterMeans:
    """Mean templates of clusters.

    Attributes:
        clusters: ``(K,)`` int64 cluster numbers, ascending.
        means: ``(K, D)`` float32 mean templates of unit length, weighted by quality score; zero
            without known templates.
        lengths: ``(K,)`` length of each mean before normalization, 0 to 1. The mean of all scores
            between two clusters is ``(means[a] * lengths[a]) @ (means[b] * lengths[b])``.
    """

    clusters: NDArray[np.int64]
    means: NDArray[np.float32]
    lengths: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class FaceScores(ClusterMeans):
    """Scores of faces with clusters.

    Attributes:
        own: ``(N,)`` score of each face with the mean of the others in its cluster; NaN if alone.
        other: ``(N,)`` highest score with the mean of another cluster; NaN if there is none.
        nearest: ``(N,)`` number of that cluster, -1 if there is none.
    """

    own: NDArray[np.float64]
    other: NDArray[np.float64]
    nearest: NDArray[np.int64]

    def doubt(self, row: int, threshold: float) -> str:
        """Returns why a face may be in the wrong cluster; empty if there is no sign of it."""
        own, other = float(self.own[row]), float(self.other[row])
        if not np.isfinite(own):
            return ""
        if np.isfinite(other) and other > own:
            return f"closer to {self.nearest[row]} ({other:.2f}) than to its own ({own:.2f})"
        return f"score {own:.2f} below {threshold:.2f}" if own < threshold else ""


def judge(
    vectors: Vectors, clusters: NDArray[np.int64], quality_score: NDArray[np.float64]
) -> FaceScores:
    """Compares each face with its cluster and the nearest other one.

    Args:
        vectors: ``(N, D)`` templates; NaN if unknown.
        clusters: ``(N,)`` cluster numbers.
        quality_score: ``(N,)`` in [0, 1], weights of the mean.
    """
    found = cluster_means(vectors, clusters, quality_score)
    numbers, means, lengths = found.clusters, found.means, found.lengths
    which = np.searchsorted(numbers, clusters)
    clean, weight = _weighted(vectors, quality_score)
    known = weight > 0
    sums = _sums(clean, which, weight, len(numbers))
    own = np.full(len(vectors), np.nan)
    for start in range(0, len(vectors), _BLOCK):
        block = slice(start, start + _BLOCK)
        rest = _unit(sums[which[block]] - clean[block] * weight[block, None])
        own[block] = np.where(
            known[block] & rest.any(1), (rest * clean[block]).sum(1).clip(-1, 1), np.nan
        )
    other, nearest = _nearest_other(clean, which, means, _contenders(len(vectors), which, means))
    other = np.where(known & (nearest >= 0), other, np.nan)
    named = numbers[np.maximum(nearest, 0)] if len(numbers) else nearest
    return FaceScores(numbers, means, lengths, own, other, np.where(nearest >= 0, named, -1))


def cluster_means(
    vectors: Vectors, clusters: NDArray[np.int64], quality_score: NDArray[np.float64]
) -> ClusterMeans:
    """Returns mean templates of clusters, see ``judge`` for the arguments."""
    numbers, which = np.unique(clusters, return_inverse=True)
    clean, weight = _weighted(vectors, quality_score)
    sums = _sums(clean, which, weight, len(numbers))
    weights = np.bincount(which, weights=weight, minlength=len(numbers))
    lengths = np.linalg.norm(sums, axis=1) / np.maximum(weights, 1e-9)
    return ClusterMeans(numbers, _unit(sums).astype(np.float32), lengths)


def _weighted(
    vectors: Vectors, quality_score: NDArray[np.float64]
) -> tuple[Vectors, NDArray[np.float64]]:
    """Templates and weights; both zero for unknown templates."""
    known = np.asarray(np.isfinite(vectors).all(axis=1), dtype=bool)
    clean = np.where(known[:, None], vectors, 0).astype(np.float32)
    return clean, np.where(known, np.maximum(quality_score, _LEAST_WEIGHT), 0.0)


def _sums(
    vectors: NDArray[np.float32],
    which: NDArray[np.int64],
    weight: NDArray[np.float64],
    clusters: int,
) -> NDArray[np.float64]:
    from scipy.sparse import csr_matrix

    shape = (clusters, len(vectors))
    return np.asarray(csr_matrix((weight, (which, np.arange(len(vectors)))), shape) @ vectors)


def _contenders(
    faces: int, which: NDArray[np.int64], means: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Clusters to compare faces with: those of two or more faces, the largest if there are too
    many."""
    sizes = np.bincount(which, minlength=len(means))
    big = np.flatnonzero(sizes > 1)
    most = max(_MOST // max(faces, 1), 1)
    return big[np.argsort(-sizes[big], kind="stable")[:most]]


def _nearest_other(
    vectors: NDArray[np.float32],
    which: NDArray[np.int64],
    means: NDArray[np.float32],
    contenders: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    best = np.full(len(vectors), -np.inf)
    nearest = np.full(len(vectors), -1, dtype=np.int64)
    if not len(contenders):
        return best, nearest
    column = np.full(len(means), -1, dtype=np.int64)
    column[contenders] = np.arange(len(contenders))
    for start in range(0, len(vectors), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(vectors)))
        scores = vectors[rows] @ means[contenders].T
        own = column[which[rows]]
        scores[np.flatnonzero(own >= 0), own[own >= 0]] = -np.inf
        top = scores.argmax(1)
        value = scores[np.arange(len(rows)), top]
        found = np.isfinite(value)
        best[rows[found]] = value[found]
        nearest[rows[found]] = contenders[top[found]]
    return best, nearest


def alike(
    judged: FaceScores,
    *,
    least: float,
    most: int,
    apart: Collection[tuple[int, int]] = (),
    only: Sequence[int] | None = None,
) -> list[tuple[int, int, float]]:
    """Returns pairs of clusters with a mean score of at least ``least``, highest first.

    The mean is over pairs of faces, weighted by quality score; unlike the score of two mean
    templates it does not grow with the number of faces.

    Args:
        judged: cluster means.
        least: lowest score.
        most: most pairs.
        apart: pairs (smaller number first) known to be different people.
        only: clusters to compare; ``None`` for all.
    """
    keep = np.arange(len(judged.clusters))
    if only is not None:
        keep = keep[np.isin(judged.clusters, np.asarray(only, dtype=np.int64))]
    means = judged.means[keep] * judged.lengths[keep, None].astype(np.float32)
    numbers = judged.clusters[keep]
    room = most + len(apart)
    found: list[tuple[float, int, int]] = []
    for start in range(0, len(means), _BLOCK):
        scores = means[start : start + _BLOCK] @ means[start:].T
        rows, columns = np.nonzero(np.triu(scores >= least, k=1))
        values = scores[rows, columns]
        top = np.argsort(-values, kind="stable")[:room]
        found += [
            (float(values[k]), int(numbers[start + rows[k]]), int(numbers[start + columns[k]]))
            for k in top
        ]
    found.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    pairs = [(a, b, score) for score, a, b in found if (a, b) not in apart]
    return pairs[:most]


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(length > 1e-9, rows / np.maximum(length, 1e-9), 0.0)
