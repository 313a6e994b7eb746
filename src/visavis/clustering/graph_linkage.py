"""The default algorithm: average linkage on a k-NN graph, with thresholds that adapt."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.clustering.attaching import POOR, attach
from visavis.clustering.checks import as_quality_scores, as_vectors, canonical_order, renumber
from visavis.clustering.clusterer import Constraints, Labels
from visavis.clustering.constraints import ResolvedConstraints, resolve
from visavis.clustering.knn import EXACT_UP_TO, PROBES, NeighborGraph, neighbor_graph
from visavis.clustering.merging import Merging
from visavis.clustering.thresholds import FmrCurve
from visavis.errors import OptionError
from visavis.types import Vectors

_THOROUGH: Final = 32
_PASSES: Final = 2


class GraphLinkage:
    """Merges pairs of clusters that are each other's best match, while two conditions hold.

    1. The cosine similarity of their centers reaches the threshold for the false-merge rate in a
       collection with the current number of clusters (``FmrCurve.for_faces``). A center of many
       photos is more reliable than one photo, and so reaches it more easily.
    2. The mean score of their faces reaches ``FmrCurve.for_clusters``. This keeps large clusters of
       similar people apart.

    Both thresholds rise if the people of the collection are more alike than those of the
    calibration (``FmrCurve.excess``). Time and memory grow almost linearly with N; nothing is
    N x N. Constraints hold throughout: must-linked faces start as one cluster, and a merge that
    violates a cannot-link is not made.

    Args:
        curve: the model's non-mated scores.
        false_merge_rate: accepted share of faces in the cluster of another person, in (0, 1).
        neighbors: nearest neighbors per face.
        poor: quality score below which a face is attached last.
        exact_up_to: number of faces up to which the neighbor search is exact.

    Raises:
        OptionError: options outside their range.
    """

    def __init__(
        self,
        curve: FmrCurve,
        *,
        false_merge_rate: float = 0.01,
        neighbors: int = 32,
        poor: float = POOR,
        exact_up_to: int = EXACT_UP_TO,
    ) -> None:
        if neighbors < 1:
            raise OptionError(f"{neighbors} neighbors", "ask for 1 or more")
        curve.for_faces(1, false_merge_rate=false_merge_rate)
        self._curve = curve
        self._rate = false_merge_rate
        self._neighbors = neighbors
        self._poor = poor
        self._exact_up_to = exact_up_to

    @property
    def name(self) -> str:
        """Names the algorithm and its options."""
        # Albums store this text and compare it: its spelling must not change.
        return f"graph linkage, false-merge rate {self._rate:g}, {self._neighbors} neighbors"

    def cluster(
        self,
        vectors: Vectors,
        /,
        *,
        quality_score: NDArray[np.float64] | None = None,
        constraints: Constraints | None = None,
    ) -> Labels:
        """See ``Clusterer.cluster``."""
        vectors = as_vectors(vectors)
        usable = as_quality_scores(quality_score, len(vectors))
        resolved = resolve(constraints, len(vectors))
        # Ties are broken by row; in canonical order the result does not depend on the input order.
        order = canonical_order(vectors)
        found = self._ordered(vectors[order], usable[order] >= self._poor, resolved.reorder(order))
        labels = np.empty(len(order), dtype=np.int64)
        labels[order] = found
        return renumber(labels)

    def _ordered(
        self, vectors: Vectors, good: NDArray[np.bool_], resolved: ResolvedConstraints
    ) -> Labels:
        resolved = resolved.joined(_identical(vectors, good, resolved))
        has_good = np.zeros(resolved.count, dtype=np.bool_)
        has_good[resolved.group[good]] = True
        # A poor face counts only in a group without good faces.
        counted = good | ~has_good[resolved.group]
        total = _group_sums(vectors, counted, resolved)
        weight = np.bincount(resolved.group, counted, minlength=resolved.count).astype(np.float64)
        merging = Merging(total, weight, resolved, center=self._curve.center)
        excess = self._merge_groups(merging, vectors, counted, resolved, has_good)
        labels = merging.label.astype(np.int64)
        if has_good.all():
            return labels[resolved.group]
        good_clusters = int((labels[has_good] == np.flatnonzero(has_good)).sum())
        cosine, mean = self._thresholds(max(good_clusters, 1), excess)
        labels[~has_good] = -1
        labels = attach(labels, merging, resolved, cosine=cosine, mean=mean)
        left = labels < 0
        self._merge_groups(merging, vectors, counted, resolved, left, least_excess=excess)
        labels[left] = merging.label[left]
        return labels[resolved.group]

    def _merge_groups(
        self,
        merging: Merging,
        vectors: Vectors,
        counted: NDArray[np.bool_],
        resolved: ResolvedConstraints,
        groups: NDArray[np.bool_],
        *,
        least_excess: float | None = None,
    ) -> float:
        """Merges some of the groups.

        Args:
            merging: the clusters so far.
            vectors: templates.
            counted: flags of the templates that count.
            resolved: the groups.
            groups: flags of the groups to merge.
            least_excess: for groups left after attaching: they are compared with all clusters, not
                only with each other, because blurred faces of different people look alike.

        Returns:
            By how much the thresholds were raised, see ``FmrCurve.excess``.
        """
        point = resolved.group.astype(np.int32)
        rows = np.flatnonzero(counted & groups[point])
        if len(rows) < len(vectors):
            vectors, point = vectors[rows], point[rows]
        others = merging.count - int(groups.sum()) if least_excess is None else 0
        start = np.flatnonzero(groups).astype(np.int32)

        def thresholds(count: int) -> tuple[float, float]:
            return self._thresholds(count - others, raised)

        graph = self._graph(vectors, probes=PROBES)
        first, second = point[graph.first], point[graph.second]
        raised = least = least_excess or 0.0
        # Safe merges first; they separate non-mated from mated pairs for the excess.
        strict = thresholds(merging.count)
        merging.run(first, second, lambda _: strict)
        own = self._curve.excess(vectors, merging.label[point].astype(np.int64))
        raised = max(own, least) if least_excess is not None else own
        merging.run(first, second, thresholds)
        del graph
        # Then search from center to center: finds pairs that the faces' neighbors missed, because
        # they were all of one burst, or because the graph is approximate.
        for _ in range(_PASSES):
            before = merging.count
            nodes = start[merging.label[start] == start]
            graph = self._graph(merging.units(nodes), probes=_THOROUGH)
            merging.run(nodes[graph.first], nodes[graph.second], thresholds)
            if merging.count > 0.95 * before:
                break
        return raised

    def _graph(self, vectors: Vectors, *, probes: int) -> NeighborGraph:
        return neighbor_graph(
            vectors,
            neighbors=self._neighbors,
            least=self._least(len(vectors)),
            exact_up_to=self._exact_up_to,
            probes=probes,
        )

    def _thresholds(self, clusters: int, excess: float) -> tuple[float, float]:
        """Lowest cosine of centers and lowest mean score, with the median non-mated score as 0."""
        faces = self._curve.for_faces(clusters, false_merge_rate=self._rate)
        mean = self._curve.for_clusters(faces) + excess
        faces += excess
        center = self._curve.center
        return (faces - center) / (1 - center), (mean - center) / (1 - center)

    def _least(self, n: int) -> float:
        """Lowest score of a pair that can lead to a merge.

        Valid while there are at least a hundredth as many clusters as faces."""
        faces = self._curve.for_faces(n // 100, false_merge_rate=self._rate)
        return self._curve.for_clusters(faces) - 1e-6


def _identical(
    vectors: Vectors, good: NDArray[np.bool_], resolved: ResolvedConstraints
) -> NDArray[np.int64]:
    """Returns pairs of identical templates that no constraint concerns, ``(M, 2)`` rows.

    They start as one cluster: thousands of copies would be merged one by one. Rows are in canonical
    order, so copies are adjacent.
    """
    free = ~np.isin(resolved.group, resolved.member)
    same = free[1:] & free[:-1] & (good[1:] == good[:-1])
    same[same] = (vectors[1:][same] == vectors[:-1][same]).all(axis=1)
    first = np.flatnonzero(same)
    return np.stack([first, first + 1], axis=1)


def _group_sums(
    vectors: Vectors, counted: NDArray[np.bool_], resolved: ResolvedConstraints
) -> NDArray[np.float32]:
    """``(G, D)`` sums of the counted templates of each group; a copy if groups are faces."""
    from scipy.sparse import csr_array

    n = len(vectors)
    if resolved.count == n:
        return vectors.copy()
    weights = counted.astype(np.float32)
    chooser = csr_array((weights, (resolved.group, np.arange(n))), (resolved.count, n))
    total: NDArray[np.float32] = chooser @ vectors
    return total
