"""Clustering metrics: agreement of clusters with known people.

Both sides are labels, one per face: the true person, and the cluster. Every metric is computed from
the non-empty cells of the contingency table, at most one per face: a million faces take a second,
and pairs are never listed. Pair counts are exact integers.

A metric without evidence is 1: precision if no cluster has two faces, recall if everybody has one
photo. Read them together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visavis.errors import OptionError
from visavis.types import Record

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Contingency(Record):
    """The non-empty cells of the table people x clusters.

    Attributes:
        person: ``(E,)`` row of each cell, people numbered from 0 in sorted order.
        cluster: ``(E,)`` column of each cell, clusters numbered likewise.
        count: ``(E,)`` faces in each cell, at least 1.
        people: ``(P,)`` faces of each person.
        clusters: ``(K,)`` faces in each cluster.
    """

    person: Counts
    cluster: Counts
    count: Counts
    people: Counts
    clusters: Counts

    @property
    def faces(self) -> int:
        """Number of faces."""
        return int(self.count.sum())


@dataclass(frozen=True, slots=True)
class PrecisionRecall(Record):
    """Precision, recall and F1 in [0, 1].

    Attributes:
        precision: share of joined pairs or faces that are correct.
        recall: share of pairs or faces of one person that are joined.
        f1: their harmonic mean; 0 where both are 0.
    """

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class VMeasure(Record):
    """Scores in [0, 1] from conditional entropies.

    Attributes:
        homogeneity: 1 if each cluster has one person only.
        completeness: 1 if each person is in one cluster only.
        v_measure: their harmonic mean; 0 where both are 0.
    """

    homogeneity: float
    completeness: float
    v_measure: float


@dataclass(frozen=True, slots=True)
class ClusteringScores(Record):
    """All metrics of one clustering.

    Attributes:
        faces: number of faces.
        people: number of true people.
        clusters: number of clusters found.
        singletons: clusters of one face.
        largest: faces in the largest cluster.
        pairwise: over pairs of faces; large people count most.
        bcubed: over faces; all faces count alike.
        nmi: mutual information over the arithmetic mean of the entropies: the V-measure.
        homogeneity: see ``VMeasure``.
        completeness: see ``VMeasure``.
        v_measure: see ``VMeasure``.
        ari: adjusted Rand index.
    """

    faces: int
    people: int
    clusters: int
    singletons: int
    largest: int
    pairwise: PrecisionRecall
    bcubed: PrecisionRecall
    nmi: float
    homogeneity: float
    completeness: float
    v_measure: float
    ari: float


def contingency(true: ArrayLike, found: ArrayLike) -> Contingency:
    """Counts the faces of each person in each cluster, sparsely.

    Args:
        true: ``(N,)`` person of each face: integers, or texts.
        found: ``(N,)`` cluster of each face: integers, or texts.

    Raises:
        OptionError: no labels, shapes differ or are not one-dimensional, or real numbers (a NaN
            would be a label of its own).

    >>> table = contingency(["eva", "eva", "max"], [7, 7, 7])
    >>> table.person, table.cluster, table.count
    (array([0, 1]), array([0, 0]), array([2, 1]))
    """
    person, people = _codes(true, "true labels")
    cluster, clusters = _codes(found, "found labels")
    if len(person) != len(cluster):
        raise OptionError(
            f"{len(person)} true labels and {len(cluster)} found ones", "give one of each per face"
        )
    cells, count = np.unique(person * len(clusters) + cluster, return_counts=True)
    return Contingency(
        person=cells // len(clusters),
        cluster=cells % len(clusters),
        count=count.astype(np.int64),
        people=people,
        clusters=clusters,
    )


def pairwise(true: ArrayLike | Contingency, found: ArrayLike | None = None) -> PrecisionRecall:
    """Precision, recall and F1 over pairs of faces.

    With ``TP`` the pairs of one person in one cluster: ``precision = TP / pairs in one cluster``,
    ``recall = TP / pairs of one person``, ``F1 = 2 P R / (P + R)``; C. D. Manning, P. Raghavan and
    H. Schütze, "Introduction to Information Retrieval", 2008, section 16.3. A person with 500
    photos has 125,000 pairs and outweighs thousands with two: report ``bcubed`` beside it.

    Args:
        true: ``(N,)`` person of each face, or a ``contingency`` made before.
        found: ``(N,)`` cluster of each face.

    Raises:
        OptionError: see ``contingency``.

    >>> pairwise([0, 0, 0, 1], [0, 0, 1, 1])
    PrecisionRecall(precision=0.5, recall=0.3333333333333333, f1=0.4)
    """
    table = _table(true, found)
    both, one_cluster, one_person = (
        _pairs(table.count),
        _pairs(table.clusters),
        _pairs(table.people),
    )
    return _precision_recall(
        both / one_cluster if one_cluster else 1.0, both / one_person if one_person else 1.0
    )


def bcubed(true: ArrayLike | Contingency, found: ArrayLike | None = None) -> PrecisionRecall:
    """B-cubed precision, recall and F1: the mean over faces, each face included.

    A face's precision is the share of its cluster that is of its person, its recall the share of
    its person's faces that is in its cluster: with ``n_ij`` faces of person i in cluster j,
    ``P = sum n_ij^2 / |cluster j| / N`` and ``R = sum n_ij^2 / |person i| / N``; F1 is the harmonic
    mean of the two means. E. Amigó, J. Gonzalo, J. Artiles and F. Verdejo, "A comparison of
    extrinsic clustering evaluation metrics based on formal constraints", Information Retrieval 12,
    2009.

    Args:
        true: ``(N,)`` person of each face, or a ``contingency`` made before.
        found: ``(N,)`` cluster of each face.

    Raises:
        OptionError: see ``contingency``.

    >>> bcubed([0, 0, 0, 1], [0, 0, 1, 1])
    PrecisionRecall(precision=0.75, recall=0.6666666666666666, f1=0.7058823529411765)
    """
    table = _table(true, found)
    squares = table.count.astype(np.float64) ** 2
    return _precision_recall(
        float((squares / table.clusters[table.cluster]).sum() / table.faces),
        float((squares / table.people[table.person]).sum() / table.faces),
    )


def v_measure(true: ArrayLike | Contingency, found: ArrayLike | None = None) -> VMeasure:
    """Homogeneity, completeness and their harmonic mean.

    ``h = 1 - H(person | cluster) / H(person)``, ``c = 1 - H(cluster | person) / H(cluster)``, each
    1 where the denominator is 0; A. Rosenberg and J. Hirschberg, "V-Measure: a conditional
    entropy-based external cluster evaluation measure", EMNLP 2007 (beta = 1). With many people of
    one photo both are high for poor clusterings, too.

    Args:
        true: ``(N,)`` person of each face, or a ``contingency`` made before.
        found: ``(N,)`` cluster of each face.

    Raises:
        OptionError: see ``contingency``.

    >>> measured = v_measure([0, 0, 1, 1], [0, 0, 1, 2])
    >>> [round(value, 4) for value in measured.to_dict().values()]
    [1.0, 0.6667, 0.8]
    """
    from sklearn.metrics import homogeneity_completeness_v_measure

    h, c, both = homogeneity_completeness_v_measure(*_labels(_table(true, found)))
    return VMeasure(*(round(float(value), 12) for value in (h, c, both)))


def adjusted_rand(true: ArrayLike | Contingency, found: ArrayLike | None = None) -> float:
    """Adjusted Rand index: agreement on pairs, 0 on average for labels drawn at random.

    ``ARI = 2 (TP TN - FN FP) / ((TP + FN)(FN + TN) + (TP + FP)(FP + TN))`` over pairs of faces,
    1 where the partitions are equal; L. Hubert and P. Arabie, "Comparing partitions", Journal of
    Classification 2, 1985.

    Args:
        true: ``(N,)`` person of each face, or a ``contingency`` made before.
        found: ``(N,)`` cluster of each face.

    Returns:
        A value in [-0.5, 1].

    Raises:
        OptionError: see ``contingency``.

    >>> adjusted_rand([0, 0, 1, 1], [0, 0, 1, 2])
    0.5714285714285714
    """
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(*_labels(_table(true, found))))


def scores(true: ArrayLike | Contingency, found: ArrayLike | None = None) -> ClusteringScores:
    """All metrics of this module at once.

    Args:
        true: ``(N,)`` person of each face, or a ``contingency`` made before.
        found: ``(N,)`` cluster of each face.

    Raises:
        OptionError: see ``contingency``.

    >>> measured = scores([0, 0, 1, 1], [0, 0, 1, 2])
    >>> measured.clusters, measured.singletons, measured.pairwise.recall
    (3, 2, 0.5)
    """
    table = _table(true, found)
    entropies = v_measure(table)
    return ClusteringScores(
        faces=table.faces,
        people=len(table.people),
        clusters=len(table.clusters),
        singletons=int(np.count_nonzero(table.clusters == 1)),
        largest=int(table.clusters.max()),
        pairwise=pairwise(table),
        bcubed=bcubed(table),
        nmi=entropies.v_measure,
        homogeneity=entropies.homogeneity,
        completeness=entropies.completeness,
        v_measure=entropies.v_measure,
        ari=adjusted_rand(table),
    )


def _table(true: ArrayLike | Contingency, found: ArrayLike | None) -> Contingency:
    if isinstance(true, Contingency):
        if found is not None:
            raise OptionError("a contingency and found labels", "give one or the other")
        return true
    if found is None:
        raise OptionError("true labels alone", "give the found labels, too")
    return contingency(true, found)


def _codes(labels: ArrayLike, name: str) -> tuple[Counts, Counts]:
    """Returns labels as numbers from 0 in sorted order, and the size of each."""
    array = np.asarray(labels)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iubUSO"):
        raise OptionError(
            f"{name} of shape {array.shape} and type {array.dtype}",
            "give one integer or text per face",
        )
    if array.size == 0:
        raise OptionError(f"no {name}", "give at least one")
    try:
        _, codes, counts = np.unique(array, return_inverse=True, return_counts=True)
    except TypeError as error:  # an object array whose values cannot be ordered
        raise OptionError(f"{name} of mixed types", "give one integer or text per face") from error
    return codes.astype(np.int64), counts.astype(np.int64)


def _pairs(sizes: Counts) -> int:
    return int((sizes * (sizes - 1) // 2).sum())


def _labels(table: Contingency) -> tuple[Counts, Counts]:
    """Person and cluster of each face, as scikit-learn takes them."""
    return np.repeat(table.person, table.count), np.repeat(table.cluster, table.count)


def _harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b > 0 else 0.0


def _precision_recall(precision: float, recall: float) -> PrecisionRecall:
    return PrecisionRecall(precision, recall, _harmonic(precision, recall))
