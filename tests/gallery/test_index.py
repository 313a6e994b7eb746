"""The index against a dict of vectors and numpy's products."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from visavis.errors import OptionError
from visavis.gallery.crypto.value_cipher import PlainCipher
from visavis.gallery.index.template_index import IndexOptions, TemplateIndex

D = 8
PLAIN = PlainCipher(bytes(32))


def units(count: int, *, seed: int = 0, dimension: int = D) -> NDArray[np.float32]:
    out = np.random.default_rng(seed).standard_normal((count, dimension))
    return (out / np.linalg.norm(out, axis=1, keepdims=True)).astype(np.float32)


def brute(held: dict[int, NDArray[np.float32]], query: NDArray[np.float32], k: int) -> list[tuple]:
    rows = [
        (float(np.float32(np.dot(v.astype(np.float64), query.astype(np.float64)))), i)
        for i, v in held.items()
    ]
    rows.sort(key=lambda row: (-row[0], row[1]))
    rows += [(-np.inf, -1)] * max(k - len(rows), 0)
    return rows[:k]


def check(index: TemplateIndex, held: dict[int, NDArray[np.float32]], k: int) -> None:
    queries = units(3, seed=99)
    scores, ids = index.search(queries, k)
    assert scores.shape == ids.shape == (3, k)
    assert scores.dtype == np.float32
    assert ids.dtype == np.int64
    for row, query in enumerate(queries):
        wanted = brute(held, query, k)
        assert ids[row].tolist() == [i for _, i in wanted]
        np.testing.assert_allclose(scores[row], [s for s, _ in wanted], rtol=0, atol=1e-7)
    assert len(index) == len(held)
    assert index.ids().tolist() == sorted(held)
    numbers = np.array(sorted(held, reverse=True), np.int64)
    if len(held):
        np.testing.assert_array_equal(index.vectors(numbers), [held[i] for i in numbers.tolist()])


STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "save"]), st.sets(st.integers(0, 30), max_size=12)),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, k=st.integers(1, 40))
def test_any_sequence_equals_a_dict(
    steps: list[tuple[str, set[int]]], k: int, tmp_path_factory
) -> None:
    pool = units(5, seed=3)
    index, held, last = TemplateIndex(D, options=IndexOptions()), {}, -1
    path: Path = tmp_path_factory.getbasetemp() / "index"
    for what, chosen in steps:
        if what == "add":
            new = [last + 1 + i for i in sorted(chosen)]
            last = max(new, default=last)
            # A pool of few vectors makes equal scores common.
            vectors = pool[[i % 5 for i in new]] if new else np.empty((0, D), np.float32)
            index.add(np.array(new, np.int64), vectors)
            held |= dict(zip(new, vectors, strict=True))
        elif what == "remove":
            named = {last - i for i in chosen if i <= last}
            gone = index.remove(np.array(sorted(named), np.int64))
            assert gone == len(named & set(held))
            held = {i: v for i, v in held.items() if i not in named}
        else:
            index.save(path, state=len(held), cipher=PLAIN)
            index = TemplateIndex.load(path, options=IndexOptions(), cipher=PLAIN)
            assert index.state == len(held)
        check(index, held, k)


def test_many_probes_at_once_equal_one_at_a_time() -> None:
    index = TemplateIndex(D, options=IndexOptions())
    index.add(np.arange(500), units(500))
    index.remove(np.arange(0, 500, 7))
    queries = units(300, seed=1)
    scores, ids = index.search(queries, 10)
    for row in range(0, 300, 17):
        one = index.search(queries[row : row + 1], 10)
        np.testing.assert_array_equal(one[0][0], scores[row])
        np.testing.assert_array_equal(one[1][0], ids[row])


def test_equal_templates_come_by_number_however_many() -> None:
    index = TemplateIndex(D, options=IndexOptions())
    same = np.repeat(units(1), 3000, axis=0)
    index.add(np.arange(3000), same)
    _, ids = index.search(same[:1], 25)
    assert ids[0].tolist() == list(range(25))


def test_rows_that_hold_the_closest_hold_all_that_tie_with_the_last() -> None:
    vectors = units(800)
    vectors[300:340] = vectors[7]
    index = TemplateIndex(D, options=IndexOptions())
    index.add(np.arange(800), vectors)
    queries = vectors[[7, 100]]
    for k in (1, 3, 60, 800):
        for query, rows in zip(queries, index.holding(queries, k), strict=True):
            scores = vectors.astype(np.float64) @ query.astype(np.float64)
            closest = np.flatnonzero(scores >= np.partition(scores, -k)[-k] - 1e-7)
            assert set(closest.tolist()) <= set(rows.tolist())
            assert len(set(rows.tolist())) == len(rows)
            assert scores[rows].min() >= scores[closest].min() - 1e-5


def test_the_best_score_below_zero_is_found_beside_removed_templates() -> None:
    index = TemplateIndex(2, options=IndexOptions())
    index.add([1, 2, 3], np.array([[-1, 0], [1, 0], [0, 1]], np.float32))
    index.remove([2, 3])
    scores, ids = index.search(np.array([[1, 0]], np.float32), 2)
    assert ids.tolist() == [[1, -1]]
    assert scores.tolist() == [[-1, -np.inf]]


def test_empty_index_and_no_probes() -> None:
    index = TemplateIndex(D, options=IndexOptions())
    scores, ids = index.search(units(2), 3)
    assert ids.tolist() == [[-1] * 3] * 2
    assert np.all(scores == -np.inf)
    index.add(np.arange(3), units(3))
    scores, ids = index.search(np.empty((0, D), np.float32), 3)
    assert scores.shape == ids.shape == (0, 3)
    assert index.remove([]) == 0
    assert index.vectors([]).shape == (0, D)


def test_views_and_other_types_are_taken() -> None:
    index = TemplateIndex(D, options=IndexOptions())
    wide = np.zeros((20, 2 * D))
    wide[:, ::2] = units(20)
    index.add(np.arange(40, dtype=np.uint32)[::2], np.asfortranarray(wide[:, ::2]))
    _, ids = index.search(wide[3:4, ::2], 1)
    assert ids.tolist() == [[6]]


@pytest.mark.parametrize(
    ("ids", "vectors"),
    [
        ([1], units(2)),
        ([1, 1], units(2)),
        ([2, 1], units(2)),
        ([-1, 1], units(2)),
        ([0, 1], units(2)),
        ([[1, 2]], units(2)),
        ([1.5, 2], units(2)),
        ([1, 2], 2 * units(2)),
        ([1, 2], np.full((2, D), np.nan, np.float32)),
        ([1, 2], units(2, dimension=D + 1)),
        ([1], units(1)[0]),
    ],
)
def test_adding_what_cannot_be_is_refused_and_changes_nothing(ids: list, vectors: NDArray) -> None:
    index = TemplateIndex(D, options=IndexOptions())
    index.add([0], units(1))
    with pytest.raises(OptionError):
        index.add(ids, vectors)
    assert index.ids().tolist() == [0]


def test_wrong_questions_are_refused() -> None:
    index = TemplateIndex(D, options=IndexOptions())
    index.add([0], units(1))
    for vectors, k in ((units(1), 0), (units(1)[0], 1), (units(1, dimension=3), 1)):
        with pytest.raises(OptionError):
            index.search(vectors, k)
    with pytest.raises(OptionError):
        index.vectors([0, 5])
    with pytest.raises(OptionError):
        TemplateIndex(0, options=IndexOptions())


@pytest.mark.parametrize(
    "options",
    [{"recall": 0}, {"recall": 1.1}, {"threads": 0}, {"exact_up_to": -1}],
)
def test_options_out_of_range_are_refused(options: dict) -> None:
    with pytest.raises(OptionError):
        IndexOptions(**options)
