"""Average linkage in rounds of mutual-best merges, from cluster sums and a sparse graph.

For unit vectors the mean score between two clusters is the dot product of their sums divided by the
product of their sizes. So it is exact without an N x N matrix, for every pair of clusters connected
by an edge. Merging all mutual-best pairs at once gives the same tree as merging the single best
pair repeatedly, because average linkage is reducible
(F. Murtagh, "A survey of recent advances in hierarchical clustering algorithms", 1983).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.clustering.constraints import ResolvedConstraints
from visavis.forking import load_faiss
from visavis.types import Vectors

Nodes = NDArray[np.int32]
Flags = NDArray[np.bool_]

# Small enough that the gathered rows of both sides stay in the CPU cache.
_CHUNK: Final = 1 << 13
_MANY: Final = 8
_LEAST_COHESION: Final = 0.05


@dataclass(slots=True)
class Edges:
    """Pairs of clusters with their similarity.

    Attributes:
        a: ``(E,)`` one cluster.
        b: ``(E,)`` the other, with a higher number.
        mean: ``(E,)`` float32 mean score of their faces, with the median non-mated score as 0.
        cosine: ``(E,)`` float32 cosine similarity of their centers, likewise.
    """

    a: Nodes
    b: Nodes
    mean: NDArray[np.float32]
    cosine: NDArray[np.float32]

    def only(self, kept: Flags | NDArray[np.int64]) -> Edges:
        return Edges(self.a[kept], self.b[kept], self.mean[kept], self.cosine[kept])

    def __len__(self) -> int:
        return len(self.a)


class Merging:
    """State of agglomerative merging. Each point starts as its own cluster.

    Args:
        total: ``(G, D)`` float32 sum of each point's templates; changed in place.
        weight: ``(G,)`` faces in each point.
        apart: points that stay apart.
        center: median non-mated score.
    """

    def __init__(
        self,
        total: NDArray[np.float32],
        weight: NDArray[np.float64],
        apart: ResolvedConstraints,
        *,
        center: float,
    ) -> None:
        self._total = total
        self._weight = weight.astype(np.float64)
        self._center = center
        self._clique = apart.clique
        self._member: Nodes = apart.member.astype(np.int32)
        self._spread = self._cohesion(np.arange(len(total)))
        self.label: Nodes = np.arange(len(total), dtype=np.int32)
        self.count = len(total)

    def units(self, nodes: Nodes) -> Vectors:
        """Returns unit-length cluster means, ``(len(nodes), D)``."""
        means = self._total[nodes]
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-6)
        return means

    def measure(self, a: Nodes, b: Nodes) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns mean score and center cosine of pairs of clusters, see ``Edges``."""
        faiss = load_faiss()
        mean = np.empty(len(a), dtype=np.float32)

        def some(start: int) -> None:
            i, j = a[start : start + _CHUNK], b[start : start + _CHUNK]
            dot = np.einsum("ed,ed->e", self._total[i], self._total[j])
            score = dot / (self._weight[i] * self._weight[j])
            mean[start : start + _CHUNK] = (score - self._center) / (1 - self._center)

        starts = range(0, len(a), _CHUNK)
        if len(starts) < _MANY:
            for start in starts:
                some(start)
        else:
            with ThreadPoolExecutor(max(faiss.omp_get_max_threads(), 1)) as pool:
                list(pool.map(some, starts))
        return mean, (mean / np.sqrt(self._spread[a] * self._spread[b])).astype(np.float32)

    def run(self, a: Nodes, b: Nodes, thresholds: Callable[[int], tuple[float, float]]) -> None:
        """Merges until no pair qualifies; ``label`` then has the cluster of each point.

        Args:
            a: ``(E,)`` first ends of the edges (clusters or points), in any order.
            b: ``(E,)`` second ends.
            thresholds: maps the number of clusters to the lowest ``cosine`` and ``mean`` to merge.
        """
        edges = self._between(self.label[a], self.label[b])
        while True:
            before = self.count
            cosine, mean = thresholds(self.count)
            ready = (edges.cosine >= cosine) & (edges.mean >= mean)
            if not ready.any():
                return
            old = self.label.copy()
            self._converge(edges.only(ready), cosine, mean)
            if self.count == before:
                return
            moved = self._changed_since(old)
            edges = self._updated(edges, self.label, moved)

    def _converge(self, edges: Edges, cosine: float, mean: float) -> None:
        """Merges along these edges until none qualifies."""
        step = np.arange(len(self.label), dtype=np.int32)
        while len(edges):
            a, b, refused = self._choose(edges)
            if refused.any():
                edges = edges.only(~refused)
            if not len(a):
                if not refused.any():
                    return
                continue
            self._join(a, b)
            step[b] = a
            changed = np.zeros(len(step), dtype=np.bool_)
            changed[a] = changed[b] = True
            edges = self._updated(edges, step, changed)
            step[b] = b
            edges = edges.only((edges.cosine >= cosine) & (edges.mean >= mean))

    def _choose(self, edges: Edges) -> tuple[Nodes, Nodes, Flags]:
        """Selects disjoint pairs ``(into, from)`` to merge; flags edges that constraints forbid."""
        best = np.full(len(self.label), -np.inf, dtype=np.float32)
        np.maximum.at(best, edges.a, edges.mean)
        np.maximum.at(best, edges.b, edges.mean)
        mutual = np.flatnonzero((edges.mean == best[edges.a]) & (edges.mean == best[edges.b]))
        mutual = mutual[_disjoint(edges.a[mutual], edges.b[mutual], len(best))]
        clash = self._clash(edges.a[mutual], edges.b[mutual])
        refused = np.zeros(len(edges), dtype=np.bool_)
        refused[mutual[clash]] = True
        kept = mutual[~clash]
        return edges.a[kept], edges.b[kept], refused

    def _clash(self, a: Nodes, b: Nodes) -> Flags:
        """Flags merges that would join two members of a clique."""
        bad = np.zeros(len(a), dtype=np.bool_)
        if not len(self._clique):
            return bad
        merge = np.full(len(self.label), -1, dtype=np.int32)
        merge[a] = merge[b] = np.arange(len(a), dtype=np.int32)
        of = merge[self._member]
        rows = np.flatnonzero(of >= 0)
        rows = rows[np.lexsort((self._clique[rows], of[rows]))]
        twice = (of[rows[1:]] == of[rows[:-1]]) & (
            self._clique[rows[1:]] == self._clique[rows[:-1]]
        )
        bad[of[rows[1:]][twice]] = True
        return bad

    def _join(self, into: Nodes, gone: Nodes) -> None:
        self._total[into] += self._total[gone]
        self._weight[into] += self._weight[gone]
        self._spread[into] = self._cohesion(into)
        self.count -= len(into)
        step = np.arange(len(self.label), dtype=np.int32)
        step[gone] = into
        self.label = step[self.label]
        self._member = step[self._member]

    def _updated(self, edges: Edges, step: Nodes, changed: Flags) -> Edges:
        """Maps edges to the merged clusters and measures those of changed clusters again."""
        stale = changed[edges.a] | changed[edges.b]
        old, rows = edges.only(~stale), np.flatnonzero(stale)
        a, b = step[edges.a[rows]], step[edges.b[rows]]
        new = self._between(a, b)
        return Edges(
            np.concatenate([old.a, new.a]),
            np.concatenate([old.b, new.b]),
            np.concatenate([old.mean, new.mean]),
            np.concatenate([old.cosine, new.cosine]),
        )

    def _between(self, a: Nodes, b: Nodes) -> Edges:
        """Measures each pair of different clusters once."""
        n = len(self.label)
        key = np.minimum(a, b).astype(np.int64) * n + np.maximum(a, b)
        low, high = np.divmod(_unique(key[a != b]), max(n, 1))
        a, b = low.astype(np.int32), high.astype(np.int32)
        return Edges(a, b, *self.measure(a, b))

    def _changed_since(self, old: Nodes) -> Flags:
        """Flags clusters that took part in a merge since ``old``."""
        changed = np.zeros(len(old), dtype=np.bool_)
        differs = old != self.label
        changed[old[differs]] = changed[self.label[differs]] = True
        return changed

    def _cohesion(self, nodes: NDArray[np.int64] | Nodes) -> NDArray[np.float64]:
        """Mean score of all pairs of faces in each cluster, including a face with itself."""
        cohesion = np.empty(len(nodes))
        for start in range(0, len(nodes), _CHUNK):
            own = nodes[start : start + _CHUNK]
            rows = self._total[own]
            square = np.einsum("nd,nd->n", rows, rows) / self._weight[own] ** 2
            cohesion[start : start + _CHUNK] = (square - self._center) / (1 - self._center)
        return np.maximum(cohesion, _LEAST_COHESION)


def _unique(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sorted unique keys; faster than ``numpy.unique``, which hashes first."""
    keys = np.sort(keys)
    return keys[np.diff(keys, prepend=-1) > 0]


def _disjoint(a: Nodes, b: Nodes, n: int) -> NDArray[np.int64]:
    """Selects disjoint pairs among ties; at least one if there are any."""
    if not len(a):
        return np.zeros(0, dtype=np.int64)
    # Pseudo-random ranks; otherwise a thousand equal faces would merge one per round.
    draw = (a.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) ^ (
        b.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
    )
    draw = (draw ^ (draw >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    rank = np.empty(len(a), dtype=np.int64)
    rank[np.lexsort((b, a, draw))] = np.arange(len(a))
    first = np.full(n, len(a), dtype=np.int64)
    np.minimum.at(first, a, rank)
    np.minimum.at(first, b, rank)
    return np.flatnonzero((rank == first[a]) & (rank == first[b]))
