"""k-means on the sphere's points: for when the number of people is known.

S. P. Lloyd, "Least squares quantization in PCM", IEEE Transactions on Information Theory 28, 1982;
D. Arthur and S. Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007;
scikit-learn's implementation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.clustering import staged
from visavis.clustering.checks import as_threshold, renumber
from visavis.clustering.chinese_whispers import whisper
from visavis.clustering.clusterer import Constraints, Labels
from visavis.clustering.poor import POOR
from visavis.errors import OptionError
from visavis.types import Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class KMeans:
    """k-means; k is given, or estimated by Chinese whispers.

    Without ``k``, Chinese whispers at ``threshold`` says how many people there are and where
    k-means begins. With ``k``, k-means++ says where, every good face joins one of the k clusters,
    however unlike, and poor ones join the nearest. Constraints may make it more than k.
    k-means takes all clusters for about equally wide and large, which people's are not.
    One round takes N k D operations.

    Args:
        threshold: score for the estimate, and lowest at which a poor face joins a cluster.
        k: number of people; ``None``: estimate it.
        rounds: most rounds.
        seed: decides the first centres where ``k`` is given.
        poor: usability below which a face is attached last.
        max_faces: refuse more than this.

    Raises:
        OptionError: a value outside its range, or neither ``threshold`` nor ``k``.
    """

    threshold: float | None = None
    k: int | None = None
    rounds: int = 100
    seed: int = 0
    poor: float = POOR
    max_faces: int = 50_000

    def __post_init__(self) -> None:
        if self.threshold is None and self.k is None:
            raise OptionError("neither a threshold nor k", "give a score, or the number of people")
        if self.threshold is not None:
            as_threshold(self.threshold)
        if self.k is not None and self.k < 1:
            raise OptionError(f"{self.k} clusters", "give 1 or more")

    @property
    def name(self) -> str:
        """Algorithm and options."""
        if self.k is not None:
            return f"k-means, k {self.k}, seed {self.seed}"
        return f"k-means, k by chinese whispers at score {self.threshold:.4g}"

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
            threshold=-1.0 if self.threshold is None else self.threshold,
            poor=self.poor,
            regroup=self.k is None,
            max_faces=self.max_faces,
        )

    def _group(self, points: staged.Points) -> NDArray[np.int64]:
        from sklearn import cluster
        from threadpoolctl import threadpool_limits

        init: str | NDArray[np.float32] = "k-means++"
        if self.k is None:
            init = self._centres(points)
            k = len(init)
        else:
            # More centres than different points would be the same centre twice.
            k = min(self.k, len(np.unique(points.vectors, axis=0)))
        model = cluster.KMeans(k, init=init, n_init=1, max_iter=self.rounds, random_state=self.seed)
        # Several threads add up the centres in an order that is not the same every time.
        with threadpool_limits(1, user_api="openmp"):
            model.fit(points.vectors, sample_weight=points.weight)
        return np.asarray(model.labels_, dtype=np.int64)

    def _centres(self, points: staged.Points) -> NDArray[np.float32]:
        threshold = 1.0 if self.threshold is None else self.threshold
        labels = renumber(whisper(points.vectors, points.weight, threshold, seed=self.seed))
        centres = np.zeros((int(labels.max()) + 1, points.vectors.shape[1]))
        np.add.at(centres, labels, points.vectors * points.weight[:, None])
        means: NDArray[np.float32] = (centres / np.bincount(labels, points.weight)[:, None]).astype(
            np.float32
        )
        return means
