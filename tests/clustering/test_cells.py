"""Rows found a cell at a time beside all pairs."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.contracts.clusterer import people

from visavis.clustering import cells
from visavis.clustering.cells import Neighbors, TopK, cells_for, search_cells


def as_dict(found: Neighbors) -> dict[tuple[int, int], float]:
    pairs = list(zip(found.query.tolist(), found.row.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    return dict(zip(pairs, found.product.tolist(), strict=True))


def naive(pairs: dict[tuple[int, int], float], k: int) -> set[tuple[int, int]]:
    """The k best rows of each query, of equal ones those with the lowest numbers."""
    kept = set()
    for query in {query for query, _ in pairs}:
        own = sorted((-product, row) for (q, row), product in pairs.items() if q == query)
        kept |= {(query, row) for _, row in own[:k]}
    return kept


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 4), st.integers(0, 30)),
        # Few values, so that many are equal.
        st.sampled_from([-0.5, -0.25, 0.0, 0.25, 0.5]),
        max_size=80,
    ),
    st.integers(1, 6),
    st.integers(1, 9),
    st.sampled_from([1, 5, 1000]),
)
@example({}, 1, 1, 1)
def test_the_best_are_kept_however_they_come(pairs, k, at_once, held) -> None:
    before, cells._MIN_BUFFERED = cells._MIN_BUFFERED, held
    try:
        best = TopK(k, 0)
        for start in range(0, len(pairs), at_once):
            some = list(pairs.items())[start : start + at_once]
            best.add(
                Neighbors(
                    np.array([query for (query, _), _ in some], dtype=np.int32),
                    np.array([row for (_, row), _ in some], dtype=np.int32),
                    np.array([product for _, product in some], dtype=np.float32),
                )
            )
        got = as_dict(best.found())
    finally:
        cells._MIN_BUFFERED = before
    assert set(got) == naive(pairs, k)
    assert all(pairs[pair] == product for pair, product in got.items())


@pytest.mark.parametrize("k", [1, 7, 300])
@pytest.mark.parametrize("least", [-np.inf, 0.1])
def test_all_cells_looked_at_is_exact(k: int, least: float) -> None:
    vectors, _ = people([30] * 40, seed=2, dimension=16)
    base, queries = vectors, np.concatenate([vectors[:100], -vectors[:50]])
    assert cells_for(len(base)) > 1
    got = as_dict(search_cells(queries, base, k, probes=1000, least=least))
    scores = queries @ base.T
    kept = np.sort(scores, axis=1)[:, -k:]
    assert len(got) == (kept >= least).sum()
    for query, own in enumerate(scores):
        expected = kept[query][kept[query] >= least]
        found = sorted(product for (q, _), product in got.items() if q == query)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        rows = [row for q, row in got if q == query]
        np.testing.assert_allclose(sorted(own[rows]), expected, atol=1e-5)


def test_the_nearest_cells_hold_the_mates() -> None:
    vectors, who = people([8] * 500, seed=3)
    found = search_cells(vectors, vectors, 8, probes=4)
    mated = who[found.query] == who[found.row]
    # Four cells of fifteen, of points that lie in no clouds but their own.
    assert cells_for(len(vectors)) == 15
    assert mated.sum() > 0.85 * 8 * len(vectors)


@pytest.mark.parametrize("copies", [1, 3])
def test_the_same_whatever_the_threads(copies: int) -> None:
    vectors, _ = people([8] * 200, seed=4, dimension=8)
    # Equal faces tie everywhere.
    vectors = np.repeat(vectors, copies, axis=0)
    before = faiss.omp_get_max_threads()
    results = []
    try:
        for threads in (1, 4, 4):
            faiss.omp_set_num_threads(threads)
            results.append(as_dict(search_cells(vectors, vectors, 5, probes=3)))
    finally:
        faiss.omp_set_num_threads(before)
    assert results[0] == results[1] == results[2]


def test_faces_all_equal_get_no_more_than_asked() -> None:
    vectors = np.repeat(np.eye(1, 8, dtype=np.float32), 3000, axis=0)
    found = search_cells(vectors, vectors, 4, probes=16)
    assert np.bincount(found.query, minlength=len(vectors)).max() == 4
    np.testing.assert_array_equal(found.product, 1)
