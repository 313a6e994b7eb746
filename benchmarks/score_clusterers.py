"""Average linkage and DBSCAN at one score, to compare the default clusterer with.

Poor faces are attached last, as the default does it. The scores for a false-merge rate were chosen
on LFW's View 1 training people: average linkage compares clusters, so its false match rate is
proportional to the false-merge rate. DBSCAN joins two people by a single pair, and larger
collections have more pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.clustering.attaching import POOR, attach
from visavis.clustering.checks import as_vectors, canonical_order, renumber
from visavis.clustering.clusterer import Labels
from visavis.clustering.constraints import resolve
from visavis.clustering.graph_linkage import GraphLinkage
from visavis.clustering.merging import Merging
from visavis.clustering.thresholds import FmrCurve
from visavis.types import Vectors

DEFAULT: Final = "graph-linkage"
_AVERAGE_FMR: Final = 0.01
_SINGLE_PAIRS: Final = 3


def average(vectors: Vectors, score: float) -> Labels:
    """Labels by SciPy's average linkage, cut at a mean score."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import pdist

    tree = linkage(pdist(vectors, "cosine"), "average")
    # Rounding puts identical faces at 1e-7 rather than at 0.
    return np.asarray(fcluster(tree, max(0.0, 1 - score) + 1e-6, "distance"), dtype=np.int64)


def dbscan(vectors: Vectors, score: float) -> Labels:
    """Labels by scikit-learn's DBSCAN: faces connected by pairs of at least this score."""
    from sklearn.cluster import DBSCAN

    model = DBSCAN(eps=1 - score, min_samples=2, metric="cosine", algorithm="brute")
    return np.asarray(model.fit_predict(vectors), dtype=np.int64)


AT_SCORE: Final[dict[str, Callable[[Vectors, float], Labels]]] = {
    "average": average,
    "dbscan": dbscan,
}
NAMES: Final = (DEFAULT, *AT_SCORE)


def cluster(
    name: str,
    vectors: Vectors,
    quality_score: NDArray[np.float64],
    curve: FmrCurve,
    *,
    false_merge_rate: float = 0.01,
) -> Labels:
    """Labels by one of ``NAMES``, at its score for a false-merge rate."""
    if name == DEFAULT:
        clusterer = GraphLinkage(curve, false_merge_rate=false_merge_rate)
        return clusterer.cluster(vectors, quality_score=quality_score)
    if name == "average":
        score = curve.score(_AVERAGE_FMR * false_merge_rate)
    else:
        faces = _SINGLE_PAIRS * len(vectors)
        score = curve.for_faces(faces, false_merge_rate=false_merge_rate)
    group = AT_SCORE[name]
    order = canonical_order(as_vectors(vectors))
    points, good = vectors[order], quality_score[order] >= POOR
    labels = np.full(len(points), -1, dtype=np.int64)
    labels[good] = renumber(group(points[good], score))
    labels = _attached(labels, points, score)
    left = labels < 0
    if left.sum() > 1:
        labels[left] = labels.max(initial=-1) + 1 + renumber(group(points[left], score))
    found = np.empty(len(order), dtype=np.int64)
    found[order] = labels
    return renumber(found)


def _attached(labels: Labels, vectors: Vectors, score: float) -> Labels:
    """Attaches poor faces; a cluster has the number of one of its faces."""
    standing = np.flatnonzero(labels >= 0)
    _, first, codes = np.unique(labels[standing], return_index=True, return_inverse=True)
    named = np.full_like(labels, -1)
    named[standing] = standing[first[codes]]
    total, faces = vectors.astype(np.float32), np.ones(len(vectors))
    others = np.setdiff1d(standing, standing[first])
    np.add.at(total, named[others], total[others])
    np.add.at(faces, named[others], faces[others])
    resolved = resolve(None, len(vectors))
    merging = Merging(total, faces, resolved, center=0.0)
    return attach(named, merging, resolved, cosine=-np.inf, mean=score)
