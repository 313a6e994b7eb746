"""Rows in small blocks, numbers in any order, exact search over both ways to compute it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from visavis.gallery.index.exact import nearest, top_scores
from visavis.gallery.index.person_index import IdMap
from visavis.gallery.index.vector_store import VectorStore

D = 4


def vectors(count: int, *, seed: int = 0, dimension: int = D) -> NDArray[np.float32]:
    out = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return out / np.linalg.norm(out, axis=1, keepdims=True)


@settings(max_examples=80, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.booleans(), st.integers(0, 25), st.integers(0, 2**32 - 1)), max_size=10
    ),
    per_block=st.integers(1, 9),
)
def test_rows_and_numbers_equal_an_array(
    steps: list[tuple[bool, int, int]], per_block: int
) -> None:
    rows, numbers = VectorStore(D, block_bytes=4 * D * per_block), IdMap()
    array, ids = np.empty((0, D), np.float32), np.empty(0, np.int64)
    for add, count, seed in steps:
        rng = np.random.default_rng(seed)
        if add:
            new = np.setdiff1d(rng.integers(0, 200, count), ids)
            new = rng.permutation(new) if seed % 2 else new
            part = vectors(len(new), seed=seed)
            rows.append(part)
            numbers.append(new)
            array, ids = np.concatenate([array, part]), np.concatenate([ids, new])
        else:
            gone = np.sort(rng.permutation(len(ids))[:count])
            end = len(ids) - len(gone)
            movers = np.setdiff1d(np.arange(end, len(ids)), gone)
            holes = gone[gone < end]
            rows.fill(holes, movers, end)
            numbers.fill(holes, movers, end)
            array[holes], ids[holes] = array[movers], ids[movers]
            array, ids = array[:end], ids[:end]
        assert len(rows) == len(numbers) == len(ids)
        np.testing.assert_array_equal(numbers.ids, ids)
        places = {number: at for at, number in enumerate(ids.tolist())}
        asked = np.arange(-1, 201)
        wanted = [places.get(number, -1) for number in asked.tolist()]
        np.testing.assert_array_equal(numbers.rows(asked), wanted)
        at = rng.integers(0, max(len(ids), 1), 7 if len(ids) else 0)
        probe = vectors(1, seed=3)[0]
        got = rows.products(probe, np.sort(at))
        np.testing.assert_allclose(got, array[np.sort(at)] @ probe, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(rows.take(at), array[at])
        np.testing.assert_array_equal(rows.take(np.sort(at)), array[np.sort(at)])
        whole = [block for _, block in rows.blocks()]
        if whole:
            np.testing.assert_array_equal(np.concatenate(whole), array)
        assert [first for first, _ in rows.blocks()] == list(range(0, len(ids), per_block))


def test_rising_scores_keep_the_last() -> None:
    """Every row is closer than all before it: nothing can be told from what was found so far."""
    angle = np.linspace(1.5, 0, 20_000)
    rows = VectorStore(2)
    rows.append(np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32))
    probes = np.tile(np.array([[1, 0]], np.float32), (30, 1))
    wanted = np.sort(np.cos(angle))[:-6:-1]
    np.testing.assert_allclose(top_scores(rows, probes, 5), np.tile(wanted, (30, 1)), atol=1e-6)


@pytest.mark.parametrize("queries", [3, 60])
@pytest.mark.parametrize("k", [1, 10, 40, 3000])
def test_nearest_over_many_blocks_holds_all_ties(queries: int, k: int) -> None:
    held = np.concatenate([vectors(900), np.repeat(vectors(4, seed=5), 30, axis=0)])
    rows = VectorStore(D, block_bytes=4 * D * 100)
    rows.append(held)
    asked = np.concatenate([vectors(4, seed=5), vectors(56, seed=6)])[:queries]
    scores = asked.astype(np.float64) @ held.T.astype(np.float64)
    for found, score in zip(nearest(rows, asked, k), scores, strict=True):
        assert len(np.unique(found)) == len(found)
        bar = np.sort(score)[::-1][min(k, len(score)) - 1]
        assert set(np.flatnonzero(score >= bar - 1e-9)) <= set(found.tolist())
        assert np.all(score[found] >= bar - 1e-5)
    if k <= len(held):
        wanted = np.sort(scores, axis=1)[:, ::-1][:, :k]
        np.testing.assert_allclose(top_scores(rows, asked, k), wanted, rtol=0, atol=1e-6)
