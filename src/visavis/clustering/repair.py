"""Splits clusters that violate constraints, for algorithms that ignore constraints.

A cluster with a clash is split like in constrained k-means, keeping most of it together: groups
without a clash stay; the others, most typical first, go to the most similar part without a clash,
or start a new part. Then all are assigned again to the parts' means until nothing changes. After
K. Wagstaff, C. Cardie, S. Rogers and S. Schroedl, "Constrained
k-means clustering with background knowledge", ICML 2001. Finding the fewest moves is as hard as
graph coloring; this is a heuristic, but the result never violates a constraint.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.clustering.clusterer import Labels
from visavis.clustering.constraints import ResolvedConstraints
from visavis.types import Vectors

Sums = NDArray[np.float64]
"""``(G, D)`` sum of the templates of each group."""

_ROUNDS: Final = 5


def sums(vectors: Vectors, resolved: ResolvedConstraints, *, weights: NDArray[np.float64]) -> Sums:
    """Returns the ``(G, D)`` float64 weighted sum of the templates of each group."""
    from scipy.sparse import csr_array

    n = len(vectors)
    chooser = csr_array((weights, (resolved.group, np.arange(n))), (resolved.count, n))
    total: Sums = chooser @ vectors.astype(np.float64)
    return total


def split(
    labels: Labels, total: Sums, resolved: ResolvedConstraints, *, threshold: float = -1.0
) -> Labels:
    """Splits clusters that have two groups of one clique.

    Args:
        labels: ``(G,)`` cluster of each group, from 0; negative: in none.
        total: ``(G, D)`` see ``sums``.
        resolved: groups that stay apart.
        threshold: lowest score between a face and the mean of a split-off part to join it.

    Returns:
        ``(G,)`` labels; the largest part of a split cluster keeps its label.
    """
    labels = np.asarray(labels, dtype=np.int64).copy()
    clash = np.flatnonzero(resolved.clashing(labels))
    if not len(clash):
        return labels
    cliques: dict[int, list[int]] = defaultdict(list)
    for group, clique in zip(
        resolved.member[clash].tolist(), resolved.clique[clash].tolist(), strict=True
    ):
        cliques[group].append(clique)
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    following = int(labels.max()) + 1
    for label in np.unique(labels[resolved.member[clash]]).tolist():
        start, end = np.searchsorted(ordered, [label, label + 1])
        members = order[start:end]
        part = _Parts(total[members], [cliques.get(m, []) for m in members.tolist()]).run(threshold)
        away = part > 0
        labels[members[away]] = following + part[away] - 1
        following += int(part.max())
    return labels


class _Parts:
    """One cluster being split. Part 0 holds the groups without a clash."""

    def __init__(self, total: Sums, cliques: list[list[int]]) -> None:
        length = np.linalg.norm(total, axis=1, keepdims=True)
        self._total = total
        self._unit = total / np.where(length > 0, length, 1)
        self._cliques = cliques
        self._part = np.full(len(total), -1, dtype=np.int64)
        self._holders: dict[int, set[int]] = defaultdict(set)
        self._sum = np.zeros((8, total.shape[1]))
        self._used = 0

    def run(self, threshold: float) -> NDArray[np.int64]:
        bound = np.array([bool(own) for own in self._cliques])
        free = np.flatnonzero(~bound)
        self._new_part()
        self._part[free] = 0
        self._sum[0] = self._total[free].sum(axis=0)
        center = self._sum[0] if len(free) else self._total.sum(axis=0)
        clashing = np.flatnonzero(bound)
        clashing = clashing[np.argsort(-(self._unit[clashing] @ center), kind="stable")]
        for k in clashing.tolist():
            self._place(k, threshold)
        for _ in range(_ROUNDS):
            before = self._part.copy()
            if len(free):
                scores = self._unit[free] @ self._means().T
                # A group moves only to a better part; part 0 comes first and wins ties.
                self._part[free] = scores.argmax(axis=1)
                self._recount()
            for k in clashing.tolist():
                self._remove(k)
                self._place(k, threshold, home=int(before[k]))
            if (self._part == before).all():
                break
        # Renumber without the empty parts; part 0 keeps its number even if empty.
        occupied = np.unique(self._part[self._part > 0])
        place = np.zeros(self._used, dtype=np.int64)
        place[occupied] = np.arange(1, len(occupied) + 1)
        return place[self._part]

    def _new_part(self) -> int:
        if self._used == len(self._sum):
            self._sum = np.concatenate([self._sum, np.zeros_like(self._sum)])
        self._used += 1
        return self._used - 1

    def _means(self) -> Sums:
        total = self._sum[: self._used]
        length = np.linalg.norm(total, axis=1, keepdims=True)
        means: Sums = total / np.where(length > 1e-9, length, 1)
        return means

    def _recount(self) -> None:
        from scipy.sparse import csr_array

        n = len(self._part)
        chooser = csr_array((np.ones(n), (self._part, np.arange(n))), (self._used, n))
        self._sum[: self._used] = chooser @ self._total

    def _remove(self, k: int) -> None:
        part = int(self._part[k])
        self._sum[part] -= self._total[k]
        for clique in self._cliques[k]:
            self._holders[clique].discard(part)

    def _place(self, k: int, threshold: float, *, home: int = -1) -> None:
        blocked = set().union(*(self._holders[clique] for clique in self._cliques[k]))
        scores = self._means() @ self._unit[k]
        scores[1:][scores[1:] < threshold] = -np.inf
        if home > 0:
            # Its own part may be empty now; it may stay there.
            scores[home] = max(scores[home], threshold)
        scores[list(blocked)] = -np.inf
        part = int(scores.argmax())
        if scores[part] == -np.inf:
            part = self._new_part()
        self._part[k] = part
        self._sum[part] += self._total[k]
        for clique in self._cliques[k]:
            self._holders[clique].add(part)
