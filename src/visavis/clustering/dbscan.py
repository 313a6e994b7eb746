"""DBSCAN: clusters are faces connected by pairs with a high score.

M. Ester, H.-P. Kriegel, J. Sander and X. Xu, "A density-based algorithm for discovering clusters in
large spatial databases with noise", KDD 1996; scikit-learn's implementation on the exact graph of
scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from visavis.clustering import staged
from visavis.errors import OptionError
from visavis.types import Vectors

if TYPE_CHECKING:
    from scipy.sparse import csr_array


_CELLS: Final = 1 << 26
"""Scores computed per block: 268 MB."""

OFFSET: Final = np.float32(2)
"""Added to the scores in the graph, so that no entry is 0."""

MAX_PAIRS: Final = 200_000_000
"""Most entries of a graph; 8 bytes each, so 1.6 GB."""


def score_graph(vectors: Vectors, threshold: float, *, max_pairs: int = MAX_PAIRS) -> csr_array:
    """Returns all pairs of rows with a score of at least ``threshold`` as a sparse matrix.

    Time grows with N^2 D, memory with the number of pairs: scores are computed in blocks of rows.

    Args:
        vectors: ``(N, D)`` unit rows.
        threshold: lowest score to keep, in (-1, 1].
        max_pairs: most entries, counting both directions.

    Returns:
        ``(N, N)`` symmetric CSR of float32 scores plus 2, in (1, 3], so that no entry is 0; the
        diagonal is empty; columns ascend in each row.

    Raises:
        OptionError: more pairs than ``max_pairs``.

    >>> rows = np.array([[1, 0], [0.8, 0.6], [0, 1]], dtype=np.float32)
    >>> score_graph(rows, 0.7).toarray().round(4)
    array([[0. , 2.8, 0. ],
           [2.8, 0. , 0. ],
           [0. , 0. , 0. ]], dtype=float32)
    """
    from scipy.sparse import coo_array, csr_array

    n = len(vectors)
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    kept = 0
    block = max(1, min(2048, _CELLS // max(n, 1)))
    for start in range(0, max(n, 1), block):
        # Upper triangle only: a score and its mirror must be the same number.
        scores = np.minimum(vectors[start : start + block] @ vectors[start:].T, np.float32(1))
        # Rounding puts some scores of identical rows below 1.
        near = np.triu(scores >= np.float32(threshold) - np.float32(1e-6), 1)
        kept += 2 * int(np.count_nonzero(near))
        if kept > max_pairs:
            raise OptionError(
                f"more than {max_pairs:,} scores of {threshold:.3g} or more among {n:,} faces",
                "ask for a lower false-merge rate, that is a higher score, or use the default "
                "algorithm",
            )
        rows, columns = np.nonzero(near)
        value = scores[near] + OFFSET
        found.append(((rows + start).astype(np.int32), (columns + start).astype(np.int32), value))
    i, j, value = (np.concatenate([part[k] for part in found]) for k in range(3))
    upper_half = csr_array(coo_array((value, (i, j)), shape=(n, n)))
    whole = csr_array(upper_half + upper_half.T)
    whole.sort_indices()
    return whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Dbscan(staged.AtScore):
    """DBSCAN at a score threshold.

    A chain of faces, each similar to the next, becomes one cluster, so choose a lower false match
    rate than for other algorithms. Faces without neighbors are clusters of one. Time grows with N^2
    (13,233 faces: seconds), memory with the pairs above the threshold.

    Args:
        threshold: lowest score of two neighbors.
        min_faces: neighbors, including itself, that make a face a core face. 1 and 2 link all
            neighbors (single linkage); more prevent chains.
    """

    min_faces: int = 2

    def __post_init__(self) -> None:
        staged.AtScore.__post_init__(self)
        if self.min_faces < 1:
            raise OptionError(f"min_faces {self.min_faces}", "give 1 or more")

    @property
    def name(self) -> str:
        """Algorithm and options."""
        return f"dbscan, score {self.threshold:.4g}, {self.min_faces} faces"

    def group(self, points: staged.Points, /) -> NDArray[np.int64]:
        from sklearn.cluster import DBSCAN

        graph = score_graph(points.vectors, self.threshold)
        if graph.nnz == 0:
            return np.arange(len(points.vectors))
        # Distances are in [0, 2); every stored entry is a neighbor, as the graph is thresholded.
        graph.data = np.maximum(np.float32(3) - graph.data, np.float32(1e-6))
        model = DBSCAN(eps=4.0, min_samples=self.min_faces, metric="precomputed")
        labels = model.fit(_nearest_first(graph), sample_weight=points.weight).labels_
        return np.asarray(labels, dtype=np.int64)


def _nearest_first(graph: object) -> object:
    from sklearn.neighbors import sort_graph_by_row_values

    return sort_graph_by_row_values(graph, warn_when_not_sorted=False)
