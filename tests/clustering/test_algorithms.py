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
from visavis.clustering.chinese_whispers import ChineseWhispers, whisper
from visavis.clustering.clusterer import Constraints
from visavis.clustering.dbscan import Dbscan
from visavis.clustering.graph import score_graph
from visavis.clustering.hdbscan import Hdbscan
from visavis.clustering.kmeans import KMeans
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
    with pytest.raises(OptionError, match="more than 1,000 scores"):
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
@given(st.integers(0, 999), st.floats(0.1, 0.8), st.sampled_from(["average", "complete"]))
def test_linkage_as_in_scikit_learn(seed: int, threshold: float, linkage: str) -> None:
    vectors = crowd(seed)
    model = sklearn.cluster.AgglomerativeClustering(
        n_clusters=None, distance_threshold=1 - threshold, linkage=linkage, metric="cosine"
    )
    found = Agglomerative(threshold=threshold, linkage=linkage).cluster(vectors)
    assert same_partition(found, model.fit_predict(vectors.astype(np.float64)))


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


def test_complete_linkage_holds_for_every_pair() -> None:
    vectors = crowd(3)
    labels = Agglomerative(threshold=0.4, linkage="complete").cluster(vectors)
    for label in set(labels.tolist()):
        own = vectors[labels == label]
        assert (own @ own.T).min() > 0.4 - 1e-5


@QUICK
@given(st.integers(0, 999), st.floats(0.3, 0.7), st.integers(0, 5))
def test_chinese_whispers_end_where_everybody_agrees(
    seed: int, threshold: float, order: int
) -> None:
    vectors = crowd(seed)
    weight = np.random.default_rng(seed).integers(1, 4, len(vectors)).astype(np.float64)
    labels = whisper(vectors, weight, threshold, rounds=200, seed=order)
    exact = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    for k in range(len(vectors)):
        loud: dict[int, float] = {}
        for j in np.flatnonzero(exact[k] >= threshold).tolist():
            if j != k:
                loud[int(labels[j])] = loud.get(int(labels[j]), 0) + (exact[k, j] + 1) * weight[j]
        if loud:
            assert loud.get(int(labels[k]), 0) == pytest.approx(max(loud.values()), rel=1e-5)


def test_the_seed_decides_the_order() -> None:
    vectors = crowd(1, spread=1.9)
    found = {
        tuple(ChineseWhispers(threshold=0.3, seed=seed).cluster(vectors).tolist())
        for seed in range(30)
    }
    assert len(found) > 1


def test_k_means_finds_as_many_as_it_is_told() -> None:
    vectors, who = people([10] * 6, spread=0.5)
    labels = KMeans(k=6, seed=1).cluster(vectors)
    assert len(set(labels.tolist())) == 6
    model = sklearn.cluster.KMeans(6, n_init=10, random_state=0).fit(vectors)
    if not same_partition(labels, who):  # a local minimum: never better than the best of ten
        inertia = sum(
            ((vectors[labels == k] - vectors[labels == k].mean(axis=0)) ** 2).sum()
            for k in range(6)
        )
        assert inertia >= model.inertia_ * 0.999
    assert len(set(KMeans(k=100).cluster(vectors[:7]).tolist())) == 7
    assert len(set(KMeans(k=5).cluster(np.repeat(vectors[:2], 9, axis=0)).tolist())) == 2


def test_k_means_estimates_k_at_a_score() -> None:
    vectors, who = people([10, 2, 1, 7], spread=0.5)
    assert same_partition(KMeans(threshold=0.5).cluster(vectors), who)


def test_k_means_attaches_every_poor_face() -> None:
    vectors, _ = people([10, 10], spread=0.5)
    usability = np.where(np.arange(20) < 15, 1.0, 0.0)
    assert len(set(KMeans(k=2).cluster(vectors, usability=usability).tolist())) == 2


def test_hdbscan_leaves_what_is_certain_together() -> None:
    vectors, _ = people([40], spread=0.9)
    lowest = float(np.sort(vectors @ vectors.T, axis=1)[:, -2].min())
    split = Hdbscan(threshold=0.2).cluster(vectors)
    whole = Hdbscan(threshold=0.2, certain=0.2).cluster(vectors)
    assert split.max() > 0
    assert whole.max() == 0
    assert Hdbscan(threshold=lowest + 0.01, certain=0.2).cluster(vectors).max() > 0


def test_a_tree_is_grown_for_many_faces() -> None:
    vectors, _ = people([2100], spread=0.5, dimension=16)
    assert Hdbscan(threshold=0.5).cluster(vectors).shape == (2100,)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Dbscan(threshold=1.5), "threshold of 1.5"),
        (lambda: Dbscan(threshold=float("nan")), "threshold of nan"),
        (lambda: Dbscan(threshold=0.5, min_faces=0), "min_faces 0"),
        (lambda: Agglomerative(threshold=-1), "threshold of -1"),
        (lambda: Agglomerative(threshold=0.5, linkage="ward"), "average, complete"),
        (lambda: ChineseWhispers(threshold=2), "threshold of 2"),
        (lambda: ChineseWhispers(threshold=0.5, rounds=0), "0 rounds"),
        (lambda: Hdbscan(threshold=0.5, min_faces=1), "min_faces 1"),
        (lambda: Hdbscan(threshold=0.5, certain=7), "threshold of 7"),
        (KMeans, "neither"),
        (lambda: KMeans(k=0), "0 clusters"),
        (lambda: KMeans(threshold=3), "threshold of 3"),
    ],
)
def test_options_outside_their_range(make, named: str) -> None:
    with pytest.raises(OptionError, match=named):
        make()


@pytest.mark.parametrize("kind", [Dbscan, Hdbscan, ChineseWhispers, KMeans, Agglomerative])
def test_too_many_faces_are_refused_with_a_way_out(kind) -> None:
    vectors, _ = people([3, 3])
    assert kind(threshold=0.4, max_faces=6).cluster(vectors).max() == 1
    with pytest.raises(OptionError, match=r"6 faces .* default algorithm, or .* max_faces"):
        kind(threshold=0.4, max_faces=5).cluster(vectors)


def test_the_bar_of_poor_faces_is_that_of_the_faces_room() -> None:
    from visavis.clustering.poor import POOR
    from visavis.faces import usability

    assert usability.POOR == POOR


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
