"""What clustering accepts, and numbering."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.contracts.clusterer import first_appearance, people

from visavis.clustering.checks import (
    as_quality_scores,
    as_vectors,
    canonical_order,
    renumber,
)
from visavis.errors import OptionError


@given(st.lists(st.integers(-2, 6), max_size=30))
def test_numbers_in_order_of_first_appearance(labels: list[int]) -> None:
    # A negative label is a face alone: a label of its own.
    own = [label if label >= 0 else 1000 + k for k, label in enumerate(labels)]
    assert renumber(np.array(labels, dtype=np.int64)).tolist() == first_appearance(own)


@given(st.integers(0, 99), st.integers(1, 40))
def test_the_order_of_rows_is_their_own(seed: int, n: int) -> None:
    vectors, _ = people([1] * n, seed=seed, dimension=3)
    shuffled = vectors[np.random.default_rng(seed).permutation(n)]
    np.testing.assert_array_equal(
        vectors[canonical_order(vectors)], shuffled[canonical_order(shuffled)]
    )
    assert sorted(canonical_order(vectors).tolist()) == list(range(n))


def test_equal_rows_stay_in_their_order() -> None:
    rows = np.eye(2, dtype=np.float32)[[0, 1, 0, 1, 0]]
    order = canonical_order(rows).tolist()
    assert [k for k in order if k % 2 == 0] == [0, 2, 4]
    assert canonical_order(rows[:0]).tolist() == []


def test_a_bad_row_is_named_wherever_it_is() -> None:
    vectors = np.zeros((70_000, 2), dtype=np.float32)
    vectors[:, 0] = 1
    as_vectors(vectors)
    vectors[66_000] = 0
    with pytest.raises(OptionError, match="66000"):
        as_vectors(vectors)


def test_float64_is_taken_and_made_float32() -> None:
    got = as_vectors(np.array([[0.6, 0.8]]))
    assert got.dtype == np.float32
    assert as_quality_scores([0, 1], 2).dtype == np.float64
