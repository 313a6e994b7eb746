"""DBSCAN: faces reached over steps of a high score, through faces with several neighbours.

M. Ester, H.-P. Kriegel, J. Sander and X. Xu, "A density-based algorithm for discovering clusters in
large spatial databases with noise", KDD 1996; scikit-learn's implementation on the exact graph of
scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.clustering import staged
from visavis.clustering.graph import score_graph
from visavis.errors import OptionError


@dataclass(frozen=True, slots=True, kw_only=True)
class Dbscan(staged.AtScore):
    """DBSCAN at a score.

    A chain of faces each like the next becomes one cluster, so ask for a lower false match rate
    than for other algorithms. Faces that are nobody's neighbour are clusters of one. Work grows
    with N^2 (13,233 faces: seconds), memory with the pairs above the score.

    Args:
        threshold: score from which two faces are neighbours.
        min_faces: neighbours, itself included, that make a face a core face: 1 and 2 link all
            neighbours (single linkage), more resist chains.
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
        # Distances in [0, 2), whatever is stored is a neighbour: the graph has been cut already.
        graph.data = np.maximum(np.float32(3) - graph.data, np.float32(1e-6))
        model = DBSCAN(eps=4.0, min_samples=self.min_faces, metric="precomputed")
        labels = model.fit(_nearest_first(graph), sample_weight=points.weight).labels_
        return np.asarray(labels, dtype=np.int64)


def _nearest_first(graph: object) -> object:
    from sklearn.neighbors import sort_graph_by_row_values

    return sort_graph_by_row_values(graph, warn_when_not_sorted=False)
