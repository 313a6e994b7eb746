"""HDBSCAN: clusters that stay dense over the widest range of distances.

R. J. G. B. Campello, D. Moulavi and J. Sander, "Density-based clustering based on hierarchical
density estimates", PAKDD 2013; C. Malzer and M. Baum, "A hybrid approach to hierarchical
density-based cluster selection", MFI 2020 (the distance below which nothing is split);
scikit-learn's implementation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.clustering import staged
from visavis.clustering.checks import as_threshold, renumber
from visavis.clustering.clusterer import Constraints, Labels
from visavis.clustering.graph import score_graph
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
    ``threshold``, and leaves together what ``certain`` joins. Must-linked faces count as one point.
    Work and memory grow with N^2 of the largest component.

    Args:
        threshold: lowest score that joins two faces.
        certain: score from which faces are not told apart by density; ``None``: ``threshold``, so
            that density only tells who is in no cluster.
        min_faces: fewest faces a person needs to be found; others are alone.
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
        if self.certain is not None and not self.threshold <= self.certain <= 1:
            raise OptionError(
                f"certain from a score of {self.certain} on, a threshold of {self.threshold}",
                "give a score in [threshold, 1]",
            )
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
        following = count
        order = np.argsort(labels, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
            # Two that are joined are a cluster.
            if len(members) > 2:
                own = renumber(self._dense(points.vectors[members]))
                labels[members] = following + own
                following += int(own.max()) + 1
        return labels

    def _dense(self, vectors: Vectors) -> NDArray[np.int64]:
        from sklearn.cluster import HDBSCAN

        # For unit vectors the squared distance is 2 - 2 score; a little more, for rounding.
        certain = self.threshold if self.certain is None else self.certain
        model = HDBSCAN(
            min_cluster_size=self.min_faces,
            min_samples=self.min_faces,
            cluster_selection_epsilon=float(np.sqrt(2 - 2 * certain + 1e-6)),
            allow_single_cluster=True,
            algorithm="brute" if len(vectors) <= _BRUTE else "kd_tree",
            copy=True,
        )
        return np.asarray(model.fit(vectors.astype(np.float64)).labels_, dtype=np.int64)
