"""Poor faces are attached last: each to one cluster of good faces, or to none.

The template of a blurred or turned face is close to many people's. In a graph such faces are the
bridges over which two people become one cluster. Kept out until the clusters stand, each can harm
only itself.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.clustering.clusterer import Labels
from visavis.clustering.constraints import Resolved
from visavis.clustering.knn import nearest
from visavis.clustering.repair import Sums

POOR: Final = 0.6
"""Faces of lower usability are poor; the same bar as ``visavis.faces.usability.POOR``."""

_CELLS: Final = 1 << 24
_DENSE: Final = 1 << 31


def attach(
    labels: Labels,
    total: Sums,
    weight: NDArray[np.float64],
    resolved: Resolved,
    *,
    threshold: float,
) -> Labels:
    """Put each group without a cluster into the best of those that stand, if it is near enough.

    Near is the mean score with the cluster's faces. The surest go first; a group goes to its next
    best cluster where the best holds somebody it must stay apart from. Clusters' means do not
    change on the way, so what one poor face does moves no other but by such a clash.

    Args:
        labels: ``(G,)`` cluster of each group from 0; negative: to be attached.
        total: ``(G, D)`` sum of each group's templates.
        weight: ``(G,)`` faces in each group.
        resolved: which groups stay apart.
        threshold: lowest mean score to join at.

    Returns:
        ``(G,)`` labels; negative where no cluster was near enough.
    """
    labels = np.asarray(labels, dtype=np.int64).copy()
    waiting, standing = np.flatnonzero(labels < 0), np.flatnonzero(labels >= 0)
    if not len(waiting) or not len(standing):
        return labels
    numbers, codes = np.unique(labels[standing], return_inverse=True)
    means = (
        _by_code(total[standing], codes, len(numbers))
        / (np.bincount(codes, weight[standing])[:, None])
    )
    own = total[waiting] / weight[waiting][:, None]
    best, score = _nearest(own, means)
    cliques, holders = _held(resolved, labels)
    for k in np.argsort(-score, kind="stable").tolist():
        group = int(waiting[k])
        if score[k] < threshold:
            break
        cluster = int(best[k])
        blocked = set().union(*(holders[c] for c in cliques.get(group, ())))
        if int(numbers[cluster]) in blocked:
            scores = own[k] @ means.T
            scores[np.isin(numbers, list(blocked))] = -np.inf
            cluster = int(scores.argmax())
            if scores[cluster] < threshold:
                continue
        labels[group] = numbers[cluster]
        for c in cliques.get(group, ()):
            holders[c].add(int(numbers[cluster]))
    return labels


def _nearest(own: Sums, means: Sums) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Number and score of the most similar mean of each row, a block at a time.

    Of very many means some may be missed (``knn.nearest``).
    """
    if len(own) * len(means) > _DENSE:
        near, product = nearest(own.astype(np.float32), means.astype(np.float32))
        return np.maximum(near[:, 0], 0), product[:, 0].astype(np.float64)
    best = np.empty(len(own), dtype=np.int64)
    score = np.empty(len(own))
    block = max(1, _CELLS // len(means))
    for start in range(0, len(own), block):
        scores = own[start : start + block] @ means.T
        best[start : start + block] = scores.argmax(axis=1)
        score[start : start + block] = scores.max(axis=1)
    return best, score


def _held(resolved: Resolved, labels: Labels) -> tuple[dict[int, list[int]], dict[int, set[int]]]:
    """Cliques of each group that waits, and the clusters that hold somebody of each clique."""
    cliques: dict[int, list[int]] = defaultdict(list)
    holders: dict[int, set[int]] = defaultdict(set)
    cluster = labels[resolved.member]
    for group, clique, label in zip(
        resolved.member.tolist(), resolved.clique.tolist(), cluster.tolist(), strict=True
    ):
        if label < 0:
            cliques[group].append(clique)
        else:
            holders[clique].add(label)
    return cliques, holders


def _by_code(rows: Sums, codes: NDArray[np.int64], count: int) -> Sums:
    from scipy.sparse import csr_array

    n = len(rows)
    summed: Sums = csr_array((np.ones(n), (codes, np.arange(n))), (count, n)) @ rows
    return summed
