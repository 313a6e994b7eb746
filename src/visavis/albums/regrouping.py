"""Incremental clustering: keeps earlier clusters unless new faces connect them."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.albums.partition import Partition
from visavis.albums.planning import Plan
from visavis.clustering.clusterer import Clusterer, Labels
from visavis.types import Vectors

_ROUNDS: Final = 5


@dataclass(frozen=True, slots=True)
class Evidence:
    """Reason for merging two earlier clusters.

    Attributes:
        clusters: their numbers.
        rows: new faces that connect them.
    """

    clusters: tuple[int, int]
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """``labels`` ``(N,)``, and the evidence for merged earlier clusters."""

    labels: Labels
    evidence: tuple[Evidence, ...] = ()


def group(
    vectors: Vectors,
    plan: Plan,
    clusterer: Clusterer,
    *,
    quality_score: NDArray[np.float64],
    threshold: Callable[[int], float],
) -> Grouping:
    """Clusters ``(N, D)`` templates under the constraints of a plan.

    Two earlier clusters are merged only if a chain of new faces connects them: each scores at least
    the threshold with the next, the first with the mean of one cluster, the last with that of the
    other. For merges without such a chain, cannot-links are added and the clustering is repeated.

    Args:
        vectors: ``(N, D)`` templates of unit length.
        plan: constraints.
        clusterer: groups templates.
        quality_score: ``(N,)`` in [0, 1].
        threshold: maps the number of clusters to the score threshold of two faces.
    """
    if len(vectors) == 0 or (plan.anchors and not plan.news.any()):
        return Grouping(np.array([plan.sets.find(row) for row in range(len(vectors))], np.int64))
    for _ in range(_ROUNDS):
        labels = clusterer.cluster(
            vectors, quality_score=quality_score, constraints=plan.constraints()
        )
        least = threshold(int(labels.max()) + 1)
        evidence, baseless = _judge(vectors, labels, plan, least)
        if not baseless:
            return Grouping(labels, tuple(evidence))
        for a, b in baseless:
            plan.sets.forbid(a, b)
    return Grouping(_unmerged(labels, plan), ())


def _judge(
    vectors: Vectors, labels: Labels, plan: Plan, threshold: float
) -> tuple[list[Evidence], list[tuple[int, int]]]:
    """Returns evidence for merges, and pairs of rows merged without evidence."""
    inside: dict[int, dict[int, int]] = defaultdict(dict)  # label -> root -> cluster
    for cluster, anchor in plan.anchors.items():
        inside[int(labels[anchor])].setdefault(plan.sets.find(anchor), cluster)
    evidence: list[Evidence] = []
    baseless: list[tuple[int, int]] = []
    several = {label: roots for label, roots in inside.items() if len(roots) > 1}
    if not several:
        return evidence, baseless
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(int(labels.max()) + 2))
    for label, roots in several.items():
        rows = order[starts[label] : starts[label + 1]]
        new = [int(row) for row in rows if plan.news[row]]
        held: dict[int, list[int]] = defaultdict(list)
        for row in rows.tolist():
            if not plan.free[row]:
                held[plan.sets.find(row)].append(row)
        means = {root: _unit(vectors[held[root]].mean(0)) for root in roots}
        chains = _chains(vectors[new], np.stack(list(means.values())), threshold)
        known = list(roots)
        linked = Partition(len(known))
        for one, other, steps in chains:
            pair = (roots[known[one]], roots[known[other]])
            evidence.append(Evidence(pair, tuple(new[k] for k in steps)))
            linked.join(one, other)
        baseless += [
            (known[a], known[b])
            for a, b in combinations(range(len(known)), 2)
            if linked.find(a) != linked.find(b)
        ]
    return evidence, baseless


def _chains(
    new: NDArray[np.float32], means: NDArray[np.float32], threshold: float
) -> list[tuple[int, int, list[int]]]:
    """Returns a shortest chain of new faces between each pair of connected clusters."""
    near_mean = new @ means.T >= threshold
    near_new = new @ new.T >= threshold if len(new) <= 5000 else None
    chains = []
    for start in range(len(means)):
        came: dict[int, int] = {int(k): -1 for k in np.flatnonzero(near_mean[:, start])}
        queue = deque(came)
        met: set[int] = {start}
        while queue:
            here = queue.popleft()
            for other in np.flatnonzero(near_mean[here]).tolist():
                if other not in met:
                    met.add(other)
                    if other > start:
                        chains.append((start, other, _path_to(here, came)))
            if near_new is not None:
                for following in np.flatnonzero(near_new[here]).tolist():
                    if following not in came:
                        came[following] = here
                        queue.append(following)
    return chains


def _path_to(end: int, came: dict[int, int]) -> list[int]:
    steps = [end]
    while came[steps[-1]] >= 0:
        steps.append(came[steps[-1]])
    return steps[::-1]


def _unmerged(labels: Labels, plan: Plan) -> Labels:
    """Splits merged earlier clusters again; their new faces become single."""
    answer = labels.copy()
    following = int(labels.max()) + 1
    crowded: dict[int, set[int]] = defaultdict(set)
    for anchor in plan.anchors.values():
        crowded[int(labels[anchor])].add(plan.sets.find(anchor))
    numbers: dict[int, int] = {}
    for row, label in enumerate(labels.tolist()):
        if len(crowded.get(label, ())) > 1:
            root = plan.sets.find(row)
            if root not in numbers:
                numbers[root] = following
                following += 1
            answer[row] = numbers[root]
    return answer


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), dtype=np.float32)
