"""The columns of an index against plain lists; exact search over both ways to compute it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from visavis.gallery.index import columns as module
from visavis.gallery.index.columns import Column, TemplateColumns
from visavis.gallery.index.exact import nearest, top_scores

D = 4


def vectors(count: int, *, seed: int = 0, dimension: int = D) -> NDArray[np.float32]:
    out = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return out / np.linalg.norm(out, axis=1, keepdims=True)


STEP = st.tuples(
    st.sampled_from(["append", "keep", "assign"]), st.integers(0, 25), st.integers(0, 2**32 - 1)
)


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEP, max_size=12), loose=st.sampled_from([0, 3, 8192]))
def test_columns_equal_lists(steps: list[tuple[str, int, int]], loose: int) -> None:
    columns, last = TemplateColumns(D), 0
    plain: list[tuple[int, int, float, tuple[float, ...]]] = []
    for kind, count, seed in steps:
        rng = np.random.default_rng(seed)
        if kind == "append":
            ids = last + 1 + np.cumsum(rng.integers(1, 3, count))
            last = int(ids[-1]) if count else last
            people, quality_score = rng.integers(0, 7, count), rng.random(count)
            rows = vectors(count, seed=seed)
            columns.append(ids, people, quality_score, rows)
            new = (ids.tolist(), people.tolist(), quality_score.tolist(), map(tuple, rows.tolist()))
            plain += zip(*new, strict=True)
        elif kind == "keep":
            kept = rng.random(len(plain)) < 0.7
            columns.keep(kept)
            plain = [row for row, stays in zip(plain, kept.tolist(), strict=True) if stays]
        elif plain:
            at, person = rng.integers(0, len(plain), 3), rng.integers(0, 7, 3)
            _, first = np.unique(at, return_index=True)
            columns.assign(at[first], person[first])
            for row, who in zip(at[first].tolist(), person[first].tolist(), strict=True):
                plain[row] = (plain[row][0], who, *plain[row][2:])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_LOOSE", loose)
            for wanted in ([0], [5, 1, 1], list(range(7)), []):
                found = columns.rows_of(np.array(wanted, np.int64)).tolist()
                assert found == [at for at, row in enumerate(plain) if row[1] in wanted]
    assert len(columns) == len(plain)
    places = {row[0]: at for at, row in enumerate(plain)}
    asked = range(-1, last + 3)
    assert columns.rows(np.array(asked)).tolist() == [places.get(number, -1) for number in asked]
    for at, row in enumerate(plain):
        assert (columns.ids[at], columns.people[at], columns.quality_score[at]) == row[:3]
        assert tuple(columns.vectors[at].tolist()) == row[3]


def test_growing_and_shrinking_leaves_views_and_no_rows() -> None:
    column = Column(np.float32, (D,))
    whole, seen = vectors(5000), None
    for start in range(0, 5000, 7):
        column.append(whole[start : start + 7])
        seen = column.values if start == 700 else seen
    np.testing.assert_array_equal(seen, whole[:707])
    kept = np.arange(5000) % 3 > 0
    column.keep(kept)
    np.testing.assert_array_equal(column.values, whole[kept])
    assert not column._data[len(column) : 5000].any()


def test_rising_scores_keep_the_last() -> None:
    """Every row is closer than all before it: nothing can be told from what was found so far."""
    angle = np.linspace(1.5, 0, 20_000)
    rows = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    probes = np.tile(np.array([[1, 0]], np.float32), (30, 1))
    wanted = np.sort(np.cos(angle))[:-6:-1]
    np.testing.assert_allclose(top_scores(rows, probes, 5), np.tile(wanted, (30, 1)), atol=1e-6)


@pytest.mark.parametrize("queries", [3, 60])
@pytest.mark.parametrize("k", [1, 10, 40, 3000])
def test_nearest_holds_all_ties(queries: int, k: int) -> None:
    held = np.concatenate([vectors(900), np.repeat(vectors(4, seed=5), 30, axis=0)])
    asked = np.concatenate([vectors(4, seed=5), vectors(56, seed=6)])[:queries]
    scores = asked.astype(np.float64) @ held.T.astype(np.float64)
    for found, score in zip(nearest(held, asked, k), scores, strict=True):
        assert len(np.unique(found)) == len(found)
        bar = np.sort(score)[::-1][min(k, len(score)) - 1]
        assert set(np.flatnonzero(score >= bar - 1e-9)) <= set(found.tolist())
        assert np.all(score[found] >= bar - 1e-5)
    if k <= len(held):
        wanted = np.sort(scores, axis=1)[:, ::-1][:, :k]
        np.testing.assert_allclose(top_scores(held, asked, k), wanted, rtol=0, atol=1e-6)
