"""The k-NN graph beside all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contracts.clusterer import people

from visavis.clustering.knn import nearest, neighbor_graph
from visavis.errors import OptionError


def naive(vectors: np.ndarray, k: int, least: float) -> set[tuple[int, int]]:
    pairs = set()
    for a in range(len(vectors)):
        scores = vectors @ vectors[a]
        others = [b for b in np.argsort(-scores, kind="stable").tolist() if b != a][:k]
        pairs |= {(min(a, b), max(a, b)) for b in others if scores[b] >= least}
    return pairs


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.integers(1, 70), st.sampled_from([-1.0, 0.1, 0.5]))
def test_exact_graph(seed: int, k: int, least: float) -> None:
    vectors, _ = people([9, 14, 1, 20, 6], seed=seed, dimension=16)
    graph = neighbor_graph(vectors, neighbors=k, least=least)
    got = list(zip(graph.first.tolist(), graph.second.tolist(), strict=True))
    assert len(set(got)) == len(got)
    assert set(got) == naive(vectors, k, least)
    assert graph.kind == "exact"


def test_many_faces_are_found_by_cells_always_the_same() -> None:
    vectors, who = people([8] * 500, seed=3)
    exact = neighbor_graph(vectors, neighbors=7)
    one = neighbor_graph(vectors, neighbors=7, exact_up_to=100)
    other = neighbor_graph(vectors, neighbors=7, exact_up_to=100)
    assert "cells" in one.kind
    np.testing.assert_array_equal(one.first, other.first)
    np.testing.assert_array_equal(one.second, other.second)

    def mates(graph):
        kept = who[graph.first] == who[graph.second]
        pairs = zip(graph.first[kept].tolist(), graph.second[kept].tolist(), strict=True)
        return set(pairs)

    assert len(mates(one) & mates(exact)) > 0.95 * len(mates(exact))


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_for_an_edge(n: int) -> None:
    graph = neighbor_graph(np.eye(4, dtype=np.float32)[:n])
    assert len(graph.first) == len(graph.second) == 0


def test_no_neighbors_are_refused() -> None:
    with pytest.raises(OptionError):
        neighbor_graph(np.eye(4, dtype=np.float32), neighbors=0)


@pytest.mark.parametrize("exact_up_to", [0, 1000])
def test_nearest_of_others(exact_up_to: int) -> None:
    vectors, _ = people([4] * 100, seed=5)
    queries, base = vectors[:60], vectors[60:] * np.float32(0.7)
    rows, product = nearest(queries, base, 3, exact_up_to=exact_up_to, probes=1000)
    scores = queries @ base.T
    np.testing.assert_allclose(product, np.sort(scores, axis=1)[:, :-4:-1], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(scores, rows, axis=1), product, atol=1e-5)
