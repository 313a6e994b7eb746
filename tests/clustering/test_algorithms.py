"""Each algorithm against scikit-learn or a loop by hand, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.cluster
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.contracts.clusterer import people, same_partition

from visavis.clustering import staged
from visavis.clustering.agglomerative import Agglomerative
from visavis.clustering.clusterer import Constraints
from visavis.clustering.dbscan import Dbscan, score_graph
from visavis.errors import OptionError

QUICK = settings(max_examples=40, deadline=None)


def crowd(seed: int, spread: float = 1.3) -> np.ndarray:
    return people([4, 6, 3, 1, 1, 8, 2, 5], seed=seed, dimension=24, spread=spread)[0]


@QUICK
@given(st.integers(0, 999), st.floats(0.2, 0.8))
def test_the_graph_has_all_pairs_from_the_score_on(seed: int, threshold: float) -> None:
    vectors = crowd(seed)
    graph = score_graph(vectors, threshold).toarray()
    exact = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    near = np.abs(exact - threshold) < 1e-5
    want = (exact >= threshold) & ~np.eye(len(vectors), dtype=bool)
    assert ((graph > 0) == want)[~near].all()
    there = graph > 0
    np.testing.assert_allclose(graph[there] - 2, exact[there], atol=1e-5)
    np.testing.assert_array_equal(graph, graph.T)


def test_the_graph_is_the_same_in_blocks_and_refuses_too_many_pairs() -> None:
    vectors, _ = people([30] * 100, dimension=32, seed=4)
    assert len(vectors) > 2048  # more than one block
    graph = score_graph(vectors, 0.5)
    exact = vectors @ vectors.T
    np.fill_diagonal(exact, -1)
    assert abs(graph.nnz - int((exact >= 0.5).sum())) <= 4
    assert score_graph(vectors[:0], 0.5).shape == (0, 0)
    assert score_graph(vectors[:1], 0.5).nnz == 0
    with pytest.raises(OptionError, match="1,000"):
        score_graph(vectors, 0.5, max_pairs=1000)


@QUICK
@given(st.integers(0, 999), st.floats(0.3, 0.8), st.integers(1, 4))
def test_dbscan_as_in_scikit_learn(seed: int, threshold: float, few: int) -> None:
    vectors = crowd(seed)
    distances = 1 - vectors.astype(np.float64) @ vectors.astype(np.float64).T
    # Ours are float32, and which side of the threshold a score lies on that is equal to it is open.
    assume(np.abs(1 - distances - threshold).min() > 1e-6)
    model = sklearn.cluster.DBSCAN(eps=1 - threshold, min_samples=few, metric="precomputed")
    found = Dbscan(threshold=threshold, min_faces=few).cluster(vectors)
    fitted = model.fit(np.maximum(distances, 0))
    # A border face between two clusters may go to either; the core is one answer.
    core = fitted.core_sample_indices_
    assert same_partition(found[core], fitted.labels_[core])
    for k in np.flatnonzero(fitted.labels_ < 0):
        assert (found == found[k]).sum() == 1


@QUICK
@given(st.integers(0, 999), st.floats(0.1, 0.8))
def test_linkage_as_in_scikit_learn(seed: int, threshold: float) -> None:
    vectors = crowd(seed)
    model = sklearn.cluster.AgglomerativeClustering(
        n_clusters=None, distance_threshold=1 - threshold, linkage="average", metric="cosine",
        compute_distances=True,
    )  # fmt: skip
    expected = model.fit_predict(vectors.astype(np.float64))
    # Templates are float32: a merge within its rounding of the threshold may go either way.
    assume(abs(model.distances_ - (1 - threshold)).min() > 1e-6)
    found = Agglomerative(threshold=threshold).cluster(vectors)
    assert same_partition(found, expected)


def naive_average(vectors, threshold, apart):
    """Merge the two clusters of the highest mean score that may be one, while it is enough."""
    clusters = [[k] for k in range(len(vectors))]
    exact = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    while True:
        best, pair = -2.0, None
        for i, a in enumerate(clusters):
            for j, b in enumerate(clusters[:i]):
                if any((x, y) in apart or (y, x) in apart for x in a for y in b):
                    continue
                mean = exact[np.ix_(a, b)].mean()
                if mean > best:
                    best, pair = mean, (i, j)
        if pair is None or best < threshold:
            break
        clusters[pair[1]] += clusters.pop(pair[0])
    labels = np.empty(len(vectors), dtype=np.int64)
    for k, own in enumerate(clusters):
        labels[own] = k
    return labels


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.floats(0.1, 0.6))
def test_average_linkage_takes_account_of_who_stays_apart(seed: int, threshold: float) -> None:
    vectors = crowd(seed)[:20]
    rng = np.random.default_rng(seed)
    cannot = rng.integers(0, len(vectors), (8, 2))
    cannot = cannot[cannot[:, 0] != cannot[:, 1]]
    found = Agglomerative(threshold=threshold).cluster(
        vectors, constraints=Constraints(cannot=cannot)
    )
    want = naive_average(vectors, threshold, {tuple(pair) for pair in cannot.tolist()})
    assert same_partition(found, want)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Dbscan(threshold=1.5), "threshold of 1.5"),
        (lambda: Dbscan(threshold=float("nan")), "threshold of nan"),
        (lambda: Dbscan(threshold=0.5, min_faces=0), "min_faces 0"),
        (lambda: Agglomerative(threshold=-1), "threshold of -1"),
    ],
)
def test_options_outside_their_range(make, named: str) -> None:
    with pytest.raises(OptionError, match=named):
        make()


@pytest.mark.parametrize("kind", [Dbscan, Agglomerative])
def test_too_many_faces_are_refused_with_a_way_out(kind) -> None:
    vectors, _ = people([3, 3])
    assert kind(threshold=0.4, max_faces=6).cluster(vectors).max() == 1
    with pytest.raises(OptionError, match=r"6 faces.*max_faces"):
        kind(threshold=0.4, max_faces=5).cluster(vectors)


def test_the_bar_of_poor_faces_is_that_of_the_faces_room() -> None:
    from visavis.clustering.attaching import POOR
    from visavis.faces import quality

    assert quality.POOR == POOR


def test_an_algorithm_sees_a_point_a_group_without_poor_faces() -> None:
    vectors, _ = people([3, 2], shuffle=False)
    seen: list[staged.Points] = []

    def watch(points: staged.Points) -> np.ndarray:
        seen.append(points)
        return np.arange(len(points.vectors))

    labels = staged.cluster(
        vectors,
        np.array([1, 1, 0, 1, 0]),
        Constraints(must=np.array([[0, 1], [1, 2]]), photos=np.array([0, 1, 2, 0, 5])),
        algorithm=watch,
        threshold=0.99,
    )
    (points,) = seen
    assert sorted(points.weight.tolist()) == [1, 2]
    middle = vectors[0] + vectors[1]
    np.testing.assert_allclose(
        points.vectors[int(points.weight.argmax())], middle / np.linalg.norm(middle), atol=1e-6
    )
    assert points.apart.pairs().tolist() == [[0, 1]]
    assert labels.tolist() == [0, 0, 0, 1, 2]
