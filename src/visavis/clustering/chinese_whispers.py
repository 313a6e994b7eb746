"""Chinese whispers: every face takes the label that its neighbours say loudest.

C. Biemann, "Chinese whispers: an efficient graph clustering algorithm and its application to
natural language processing problems", TextGraphs 2006; dlib made it popular for faces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.clustering import staged
from visavis.clustering.checks import as_threshold
from visavis.clustering.clusterer import Constraints, Labels
from visavis.clustering.graph import MAX_PAIRS, score_graph
from visavis.clustering.poor import POOR
from visavis.errors import OptionError
from visavis.types import Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class ChineseWhispers:
    """Chinese whispers on the exact graph of scores.

    Faces are neighbours from ``threshold`` on; a neighbour's voice is its score above -1, times
    the faces it stands for. Faces speak in an order drawn anew in each round by ``seed``; of
    labels said equally loud a face keeps its own, else the lowest. Ends when nobody changes, or
    after ``rounds``. Work grows with N^2, memory with the pairs above the score.

    Args:
        threshold: score from which two faces are neighbours.
        rounds: most times everybody listens.
        seed: decides the order in which they do.
        poor: usability below which a face is attached last.
        max_faces: refuse more than this.

    Raises:
        OptionError: a value outside its range.
    """

    threshold: float
    rounds: int = 20
    seed: int = 0
    poor: float = POOR
    max_faces: int = 200_000

    def __post_init__(self) -> None:
        as_threshold(self.threshold)
        if self.rounds < 1:
            raise OptionError(f"{self.rounds} rounds", "give 1 or more")

    @property
    def name(self) -> str:
        """Algorithm and options."""
        return f"chinese whispers, score {self.threshold:.4g}, seed {self.seed}"

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
        return whisper(
            points.vectors, points.weight, self.threshold, rounds=self.rounds, seed=self.seed
        )


def whisper(
    vectors: Vectors,
    weight: NDArray[np.float64],
    threshold: float,
    *,
    rounds: int = 20,
    seed: int = 0,
) -> NDArray[np.int64]:
    """Labels by Chinese whispers, of any numbering.

    Args:
        vectors: ``(N, D)`` unit rows.
        weight: ``(N,)`` how loud each speaks.
        threshold: score from which two are neighbours.
        rounds: most times everybody listens.
        seed: decides the order in which they do.

    >>> rows = np.array([[1, 0], [0.8, 0.6], [0, -1]], dtype=np.float32)
    >>> whisper(rows, np.ones(3), 0.7)
    array([1, 1, 2])
    """
    graph = score_graph(vectors, threshold, max_pairs=MAX_PAIRS)
    starts, neighbours = graph.indptr.tolist(), graph.indices
    voice = (graph.data - 1) * weight[neighbours]
    rng = np.random.default_rng(seed)
    labels = np.arange(len(vectors))
    heard = np.flatnonzero(np.diff(graph.indptr))
    for _ in range(rounds):
        changed = False
        for k in rng.permutation(heard).tolist():
            own = slice(starts[k], starts[k + 1])
            label = _loudest(labels[neighbours[own]], voice[own], int(labels[k]))
            if label != labels[k]:
                labels[k] = label
                changed = True
        if not changed:
            break
    return labels


def _loudest(said: NDArray[np.int64], voice: NDArray[np.float64], mine: int) -> int:
    first = int(said[0])
    if len(said) == 1 or (said == first).all():
        return first
    names, codes = np.unique(said, return_inverse=True)
    loud = np.bincount(codes, voice)
    best = names[loud >= loud.max() * (1 - 1e-9)]
    return mine if mine in best else int(best[0])
