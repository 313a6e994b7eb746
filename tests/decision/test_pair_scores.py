from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visavis.decision.pair_scores import (
    BIN_WIDTH,
    all_pairs,
    histogram_of,
    listed_pairs,
    people_of_pairs,
)
from visavis.errors import DataError, OptionError


def _naive(x: np.ndarray, who: np.ndarray) -> tuple[list[float], list[float]]:
    mated, other = [], []
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            (mated if who[i] == who[j] else other).append(float(x[i] @ x[j]))
    return sorted(mated), sorted(other, reverse=True)


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 4), min_size=2, max_size=12),
    block=st.integers(1, 9),
    seed=st.integers(0, 999),
)
def test_all_pairs_agree_with_a_loop_in_any_order_and_block(sizes, block, seed) -> None:
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(len(sizes)), sizes)
    x = rng.standard_normal((len(who), 5))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    order = rng.permutation(len(who))
    scores = all_pairs(x[order], who[order], tail=1, block=block)
    mated, other = _naive(x, who)
    np.testing.assert_allclose(scores.mated, mated, atol=1e-6)
    np.testing.assert_allclose(scores.tail, other, atol=1e-6)
    assert scores.non_mated == len(other) == scores.histogram.sum()
    assert scores.people == len(sizes)
    assert sorted(scores.photos) == sorted(sizes)


def test_the_tail_is_complete(simulate) -> None:
    x, who = simulate(np.random.default_rng(1), 700, each=2)
    whole = all_pairs(x, who, tail=1)
    short = all_pairs(x, who, tail=0.02)
    assert 0.02 * whole.non_mated <= len(short.tail) < 0.1 * whole.non_mated
    np.testing.assert_allclose(short.tail, whole.tail[: len(short.tail)], atol=1e-6)
    np.testing.assert_array_equal(short.histogram, whole.histogram)


def test_tail_people_are_those_of_the_scores(simulate) -> None:
    x, who = simulate(np.random.default_rng(2), 30)
    scores = all_pairs(x, who, tail=1)
    names = np.unique([str(w) for w in who])
    first, second = (np.array([int(names[p]) for p in column]) for column in scores.tail_people.T)
    np.testing.assert_allclose(np.einsum("nd,nd->n", x[first], x[second]), scores.tail, atol=1e-6)


def test_histogram_bins_hold_their_scores() -> None:
    scores = np.array([-1.0, -0.99995, 0.0, 0.12345, 1.0])
    counts = histogram_of(scores)
    assert counts.sum() == 5
    for score in scores[1:4]:
        k = int((score + 1) / BIN_WIDTH + 1e-9)
        assert counts[k] >= 1


def test_listed_pairs_keep_every_score() -> None:
    scores = listed_pairs(
        [0.5, 0.9, -0.2], [False, True, False], [("a", "b"), ("a", "a"), ("c", "a")]
    )
    np.testing.assert_allclose(scores.tail, [0.5, -0.2])
    np.testing.assert_allclose(scores.mated, [0.9])
    assert scores.people == 3
    assert not scores.exhaustive


def test_mates_of_mates_are_one_person() -> None:
    people = people_of_pairs(
        5, np.array([0, 1, 3]), np.array([1, 2, 4]), np.array([True, True, False])
    )
    assert people[0] == people[1] == people[2]
    assert len({people[0], people[3], people[4]}) == 3


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match="two people"):
        all_pairs([[1, 0], [0, 1]], ["a", "a"])
    with pytest.raises(DataError):
        all_pairs([[1, 0]], ["a", "b"])
    with pytest.raises(OptionError):
        all_pairs([[1, 0], [0, 1]], ["a", "b"], tail=0)
    with pytest.raises(DataError, match="non-mated"):
        listed_pairs([0.5], [True], [("a", "a")])
    with pytest.raises(DataError, match=r"\[-1, 1\]"):
        listed_pairs([5.0], [False], [("a", "b")])
