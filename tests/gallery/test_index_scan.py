"""The approximate structure: what it proposes, what it promises, how it follows changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.synthetic_faces import draw
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from visavis.gallery.crypto.value_cipher import PlainCipher
from visavis.gallery.index.fast_scan import FastScan
from visavis.gallery.index.template_index import IndexOptions, TemplateIndex

SMALL = IndexOptions(exact_up_to=500)
D = 128
PLAIN = PlainCipher(bytes(32))
Vectors = NDArray[np.float32]


@pytest.fixture(scope="module")
def faces() -> tuple[Vectors, Vectors, Vectors]:
    """12,000 enrolled, other photos of 500 of them, 500 strangers."""
    vectors, person = draw(12_000, np.where(np.arange(12_000) < 500, 2, 1), seed=5)
    second = np.flatnonzero(np.r_[False, np.diff(person) == 0])
    non_mated, _ = draw(500, 1, seed=6)
    return np.delete(vectors, second, axis=0), vectors[second], non_mated


def filled(vectors: Vectors, options: IndexOptions = SMALL, step: int = 4000) -> TemplateIndex:
    index = TemplateIndex(vectors.shape[1], options=options)
    for start in range(0, len(vectors), step):
        part = vectors[start : start + step]
        index.add(np.arange(start, start + len(part)), part)
    index.settle()
    return index


def truth(vectors: Vectors, queries: Vectors, k: int) -> NDArray[np.int64]:
    return np.argsort(-(queries.astype(np.float64) @ vectors.T.astype(np.float64)), axis=1)[:, :k]


def test_the_recall_asked_holds_for_mated_probes_and_strangers(faces) -> None:
    vectors, mated, non_mated = faces
    index = filled(vectors)
    assert index.describe().startswith("fast scan of 12,000 templates")
    for queries in (mated, non_mated):
        scores, ids = index.search(queries, 10)
        true = truth(vectors, queries, 10)
        assert (ids[:, 0] == true[:, 0]).mean() >= 0.99
        found = np.mean([np.isin(t, i).mean() for t, i in zip(true, ids, strict=True)])
        assert found >= 0.99
        wanted = np.einsum("qkd,qd->qk", vectors[ids].astype(np.float64), queries)
        np.testing.assert_allclose(scores, wanted, rtol=0, atol=1e-7)
        assert np.all(np.diff(scores, axis=1) <= 0)


def test_one_probe_and_many_get_the_same(faces) -> None:
    vectors, mated, _ = faces
    index = filled(vectors)
    scores, ids = index.search(mated[:50], 5)
    for row in range(50):
        one = index.search(mated[row : row + 1], 5)
        np.testing.assert_array_equal(one[0][0], scores[row])
        np.testing.assert_array_equal(one[1][0], ids[row])


def test_the_same_calls_give_the_same(faces) -> None:
    vectors, mated, _ = faces
    first, second = filled(vectors), filled(vectors)
    assert first.describe() == second.describe()
    for a, b in zip(first.search(mated, 5), second.search(mated, 5), strict=True):
        np.testing.assert_array_equal(a, b)


def test_removal_is_followed_and_nothing_removed_is_found(faces) -> None:
    vectors, mated, _ = faces
    index = filled(vectors)
    gone = np.random.default_rng(0).permutation(12_000)[:7000]
    assert index.remove(gone) == 7000
    index.settle()
    assert index.describe().startswith("fast scan of 5,000")
    left = np.setdiff1d(np.arange(12_000), gone)
    _, ids = index.search(mated, 1)
    assert not np.isin(ids, gone).any()
    assert (ids[:, 0] == left[truth(vectors[left], mated, 1)[:, 0]]).mean() >= 0.99
    np.testing.assert_array_equal(index.vectors(left), vectors[left])
    index.add(12_000 + np.arange(7000), vectors[gone])
    now = np.concatenate([vectors[left], vectors[gone]])
    numbers = np.concatenate([left, 12_000 + np.arange(7000)])
    _, ids = index.search(mated, 1)
    assert (ids == numbers[truth(now, mated, 1)]).mean() >= 0.99
    index.remove(numbers[:11_900])
    assert index.describe().startswith("exact search of 100")
    _, ids = index.search(mated, 3)
    np.testing.assert_array_equal(ids, numbers[11_900:][truth(now[11_900:], mated, 3)])


@settings(max_examples=30, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.booleans(), st.integers(1, 70), st.integers(0, 2**32 - 1)), max_size=8
    )
)
def test_rows_are_followed_and_filled_again(steps: list[tuple[bool, int, int]]) -> None:
    pool = np.random.default_rng(0).standard_normal((2000, 8)).astype(np.float32)
    scan = FastScan(pool)
    scan.remove(np.zeros(2000, np.bool_))
    assert scan.worn
    rows = np.empty((0, 8), np.float32)
    for add, count, seed in steps:
        draws = np.random.default_rng(seed)
        if add:
            new = pool[draws.integers(0, 2000, count)]
            scan.add(new, len(rows))
            rows = np.concatenate([rows, new])
        else:
            kept = draws.permutation(len(rows)) >= count
            scan.remove(kept)
            rows = rows[kept]
        (found,) = scan.candidates(pool[:1], scan.size[0])  # 2,000 are gone
        assert sorted(found.tolist()) == list(range(len(rows)))
    scan.refill(rows)
    assert (scan.gone, scan.worn, scan.size) == (0, False, (len(rows), 8))
    fresh = FastScan(pool)
    fresh.refill(rows)
    if not len(rows):  # FAISS keeps an old count of blocks where nothing follows
        return
    assert bytes(scan.to_bytes()) == bytes(fresh.to_bytes())
    again = FastScan.of_bytes(bytes(scan.to_bytes()))
    for a, b in zip(scan.candidates(pool[:9], 5), again.candidates(pool[:9], 5), strict=True):
        np.testing.assert_array_equal(a, b)


def test_codes_of_the_removed_go_when_there_are_many_and_before_a_snapshot(
    faces, tmp_path: Path
) -> None:
    vectors, mated, _ = faces
    index = filled(vectors)
    index.remove(np.arange(100))
    assert index._scan.gone == 100
    index.save(tmp_path / "a", state=1, cipher=PLAIN)
    assert index._scan.gone == 0
    index.remove(np.arange(400))
    assert not index.settled
    index.search(mated[:1], 1)
    assert index._scan.gone == 0
    assert index._scan.size == (11_600, D)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_sequence_returns_true_scores_of_what_is_held(seed: int, tmp_path_factory) -> None:
    rng = np.random.default_rng(seed)
    path: Path = tmp_path_factory.getbasetemp() / "scan"
    options = IndexOptions(exact_up_to=100)
    index, held = TemplateIndex(16, options=options), {}
    for step in range(6):
        new = np.unique(rng.integers(3000 * step, 3000 * step + 3000, rng.integers(1, 600)))
        vectors = rng.standard_normal((len(new), 16)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        index.add(new, vectors)
        held |= dict(zip(new.tolist(), vectors, strict=True))
        gone = rng.integers(0, 3000 * step + 3000, rng.integers(1, 400 * step + 400))
        assert index.remove(gone) == len(set(gone.tolist()) & set(held))
        held = {i: v for i, v in held.items() if i not in set(gone.tolist())}
        if step % 2:
            index.save(path, state=step, cipher=PLAIN)
            index = TemplateIndex.load(path, options=options, cipher=PLAIN)
        assert index.ids().tolist() == sorted(held)
        if not held:
            continue
        queries = np.stack(list(held.values())[:20])
        scores, ids = index.search(queries, 3)
        assert np.all(scores[:, 0] >= 1 - 1e-6)
        for query, score, found in zip(queries, scores, ids, strict=True):
            for s, i in zip(score.tolist(), found.tolist(), strict=True):
                if i >= 0:
                    assert s == pytest.approx(float(held[i].astype(float) @ query), abs=1e-6)


def test_a_snapshot_keeps_structure_and_tuning(faces, tmp_path: Path) -> None:
    vectors, mated, _ = faces
    index = filled(vectors)
    index.remove(np.arange(0, 12_000, 11))
    index.save(tmp_path / "a", state=42, cipher=PLAIN)
    again = TemplateIndex.load(tmp_path / "a", options=SMALL, cipher=PLAIN)
    assert again.state == index.state == 42
    assert again.describe() == index.describe()
    for a, b in zip(index.search(mated, 4), again.search(mated, 4), strict=True):
        np.testing.assert_array_equal(a, b)
    options = IndexOptions(recall=0.9, exact_up_to=500)
    other = TemplateIndex.load(tmp_path / "a", options=options, cipher=PLAIN)
    assert "asked 0.9," in other.describe()
    options = IndexOptions(recall=1, exact_up_to=500)
    exact = TemplateIndex.load(tmp_path / "a", options=options, cipher=PLAIN)
    assert exact.describe().startswith("exact")


@pytest.mark.parametrize(
    ("dimension", "options"),
    [(128, IndexOptions(recall=1, exact_up_to=100)), (127, IndexOptions(exact_up_to=100))],
)
def test_where_all_must_be_compared_they_are(dimension: int, options: IndexOptions) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((1500, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = filled(vectors, options)
    assert index.describe().startswith("exact search of 1,500")
    for queries in (vectors[:30], vectors[:3]):
        np.testing.assert_array_equal(index.search(queries, 7)[1], truth(vectors, queries, 7))


def test_a_person_with_most_of_the_faces_and_equal_templates() -> None:
    others, _ = draw(3000, 1, seed=1)
    many, _ = draw(1, 3000, seed=2)
    same = np.repeat(many[:1], 2000, axis=0)
    vectors = np.concatenate([others, many, same])
    index = filled(vectors)
    probes, _ = draw(1, 50, seed=2)
    queries = np.concatenate([probes, others[:50], many[:1]])
    scores, _ = index.search(queries, 10)
    wanted = np.sort(queries @ vectors.T, axis=1)[:, :-11:-1]
    # By score: equal templates stand for each other.
    found = scores >= wanted[:, -1:] - 1e-6
    assert (scores[:, 0] >= wanted[:, 0] - 1e-6).mean() >= 0.99
    assert found.mean() >= 0.97
