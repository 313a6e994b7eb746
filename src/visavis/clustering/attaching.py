"""Attaches poor faces to the finished clusters of good faces.

The template of a blurred or turned face is close to the templates of many people. In a k-NN graph
such faces connect two people, who then become one cluster. Attached last, a poor face can only be
wrong itself.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.clustering.clusterer import Labels
from visavis.clustering.constraints import ResolvedConstraints
from visavis.clustering.knn import nearest
from visavis.clustering.merging import Merging

POOR: Final = 0.6
"""Faces of a lower quality score are poor; the same bar as ``visavis.faces.quality.POOR``."""

_CANDIDATES: Final = 8


def attach(
    labels: Labels, merging: Merging, resolved: ResolvedConstraints, *, cosine: float, mean: float
) -> Labels:
    """Assigns each group without a cluster to its best cluster, if it qualifies.

    Each group proposes to the best of its nearest clusters. Of two groups that must stay apart, the
    one with the higher score is accepted; the other tries its next cluster. Cluster sums do not
    change here, so one poor face affects another only through such a conflict.

    Args:
        labels: ``(G,)`` cluster of each group (the number of one of the cluster's groups);
            negative: to be attached.
        merging: measures pairs of groups; its points are the groups, and a cluster's sum is stored
            at the group whose number it has.
        resolved: which groups stay apart.
        cosine: lowest cosine similarity of the centers, with the median non-mated score as 0.
        mean: lowest mean score, likewise.

    Returns:
        ``(G,)`` labels; negative where no cluster was near enough.
    """
    labels = labels.copy()
    waiting = np.flatnonzero(labels < 0).astype(np.int32)
    clusters = np.unique(labels[labels >= 0]).astype(np.int32)
    if not len(waiting) or not len(clusters):
        return labels
    k = min(_CANDIDATES, len(clusters))
    found, _ = nearest(merging.units(waiting), merging.units(clusters), k)
    group, cluster = np.repeat(waiting, k), clusters[np.maximum(found, 0)].ravel()
    score, of_centers = merging.measure(group, cluster)
    kept = (found.ravel() >= 0) & (score >= mean) & (of_centers >= cosine)
    group, cluster, score = group[kept], cluster[kept], score[kept]
    # Highest score first, for the proposals of a group and for those to a cluster.
    order = np.lexsort((cluster, group, -score))
    group, cluster = group[order], cluster[order]
    while len(group):
        _, first = np.unique(group, return_index=True)
        first.sort()
        refused = _refused(group[first], cluster[first], labels, resolved)
        taken = first[~refused]
        labels[group[taken]] = cluster[taken]
        again = labels[group] < 0
        again[first] = False
        group, cluster = group[again], cluster[again]
    return labels


def _refused(
    group: NDArray[np.int32],
    cluster: NDArray[np.int32],
    labels: Labels,
    resolved: ResolvedConstraints,
) -> NDArray[np.bool_]:
    """Flags proposals to a cluster that has, or prefers, another group of the same clique."""
    refused = np.zeros(len(group), dtype=np.bool_)
    if not len(resolved.clique):
        return refused
    turn = np.full(len(labels), -1, dtype=np.int64)
    turn[group] = np.arange(len(group))
    proposed = labels.copy()
    proposed[group] = cluster
    rows = np.flatnonzero(proposed[resolved.member] >= 0)
    member, clique = resolved.member[rows], resolved.clique[rows]
    into, when = proposed[member], turn[member]
    # Groups already in the cluster (-1) come first, then by score.
    order = np.lexsort((when, into, clique))
    clique, into, when = clique[order], into[order], when[order]
    second = np.flatnonzero((clique[1:] == clique[:-1]) & (into[1:] == into[:-1])) + 1
    refused[when[second][when[second] >= 0]] = True
    return refused
