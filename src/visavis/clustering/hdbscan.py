"""HDBSCAN: clusters that stay dense over the widest range of distances.

R. J. G. B. Campello, D. Moulavi and J. Sander, "Density-based clustering based on hierarchical
density estimates", PAKDD 2013; scikit-learn's
implementation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.clustering import staged
from visavis.clustering.checks import as_threshold, renumber
from visavis.clustering.clusterer import Constraints, Labels
from visavis.clustering.graph import OFFSET, score_graph
from visavis.clustering.poor import POOR
from visavis.errors import OptionError
from visavis.types import Vectors

_BRUTE: Final = 2000
"""Up to so many faces a square matrix of distances is faster than a tree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hdbscan:
    """HDBSCAN between two scores: nothing is joined below one, nothing split above the other.

    Taken as published it puts people with one photo into somebody's cluster, because everybody is
    about as far from everybody, and splits people with many photos into their poses: density says
    little about faces. So it works inside each connected component of the pairs that reach
    ``threshold``, on points that are themselves the components of those that reach ``certain``.
    Must-linked faces count as one point. Work and memory grow with N^2 of the largest component.

    Args:
        threshold: lowest score that joins two faces.
        certain: score from which two faces are one person whatever the density; ``None``: no score.
        min_faces: fewest points that a component is split into; of what is split, points in no
            cluster are alone.
        poor: usability below which a face is attached last.
        max_faces: refuse more than this.

    Raises:
        OptionError: a value outside its range.
    """

    threshold: float
    certain: float | None = None
    min_faces: int = 2
    poor: float = POOR
    max_faces: int = 50_000

    def __post_init__(self) -> None:
        as_threshold(self.threshold)
        if self.certain is not None:
            as_threshold(self.certain)
        if self.min_faces < 2:
            raise OptionError(f"min_faces {self.min_faces}", "give 2 or more")

    @property
    def name(self) -> str:
        """Algorithm and options."""
        return f"hdbscan, score {self.threshold:.4g}, {self.min_faces} faces"

    def cluster(
        self,
        vectors: Vectors,
        /,
        *,
        usability: NDArray[np.float64] | None = None,
        constraints: Constraints | None = None,
    ) -> Labels:
        """See ``Clusterer.cluster``. Constraints contract before and split afterwards."""
        return staged.cluster(
            vectors,
            usability,
            constraints,
            algorithm=self._group,
            threshold=self.threshold,
            poor=self.poor,
            max_faces=self.max_faces,
        )

    def _group(self, points: staged.Points) -> NDArray[np.int64]:
        from scipy.sparse.csgraph import connected_components

        graph = score_graph(points.vectors, self.threshold)
        count, labels = connected_components(graph, directed=False)
        labels = np.asarray(labels, dtype=np.int64)
        certain = np.arange(len(labels))
        if self.certain is not None:
            graph.data[graph.data < self.certain + OFFSET] = 0
            graph.eliminate_zeros()
            certain = np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)
        following = count
        order = np.argsort(labels, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
            own, codes = np.unique(certain[members], return_inverse=True)
            # Fewer cannot be two clusters.
            if len(own) < 2 * self.min_faces:
                continue
            means = np.zeros((len(own), points.vectors.shape[1]))
            np.add.at(means, codes, points.vectors[members])
            found = renumber(self._dense(means))[codes]
            labels[members] = following + found
            following += int(found.max()) + 1
        return labels

    def _dense(self, means: NDArray[np.float64]) -> NDArray[np.int64]:
        from sklearn.cluster import HDBSCAN

        model = HDBSCAN(
            min_cluster_size=self.min_faces,
            min_samples=1,
            allow_single_cluster=True,
            algorithm="brute" if len(means) <= _BRUTE else "kd_tree",
            copy=True,
        )
        length = np.linalg.norm(means, axis=1, keepdims=True)
        return np.asarray(model.fit(means / np.maximum(length, 1e-9)).labels_, dtype=np.int64)
