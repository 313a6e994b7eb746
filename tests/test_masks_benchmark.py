"""The figures of benchmarks/masks.py, against naive loops."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.masks import Test as Photos
from benchmarks.masks import all_scores, interval, measure


def vectors(seed: int, count: int = 12) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(count, 5)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.mark.parametrize("alike", [True, False], ids=["same side", "two sides"])
def test_all_pairs_of_other_photos_once_or_in_both_orders(alike: bool) -> None:
    owner = np.array([0, 0, 0, 1, 2, 2, 3, 3, 3, 3, 4, 1])
    left = vectors(0)
    right = left if alike else vectors(1)
    mated, other = [], []
    for i in range(12):
        for j in range(12):
            if i == j or (alike and j < i):
                continue
            (mated if owner[i] == owner[j] else other).append(left[i] @ right[j])
    found = all_scores(left, right, owner)
    assert np.sort(found[0]) == pytest.approx(np.sort(mated), abs=1e-6)
    assert np.sort(found[1]) == pytest.approx(np.sort(other), abs=1e-6)


def test_a_pair_is_its_left_photo_and_its_right_one() -> None:
    owner = np.repeat(np.arange(30), 2)
    left = vectors(2, 60)
    right = left + 0.1 * vectors(3, 60)
    right = (right / np.linalg.norm(right, axis=1, keepdims=True)).astype(np.float32)
    first = np.concatenate([np.arange(0, 60, 2), np.arange(0, 60, 2)])
    second = np.concatenate([np.arange(1, 60, 2), (np.arange(0, 60, 2) + 3) % 60])
    same = np.repeat([True, False], 30)
    test = Photos((), (), owner, first, second, same, 0)
    found = measure(left, right, test)
    assert (found.missed == [left[i] @ right[i + 1] < found.threshold for i in first[:30]]).all()
    other = all_scores(left, right, owner)[1]
    assert (other >= found.threshold).sum() <= 1e-3 * len(other)
    below = np.sort(all_scores(left, right, owner)[0])
    nearest = below[below < found.threshold]
    assert not nearest.size or (other >= nearest[-1]).sum() > 1e-3 * len(other)


def test_a_face_that_was_not_found_matches_nobody() -> None:
    owner = np.repeat(np.arange(6), 2)
    left, right = vectors(4), vectors(5)
    right[3] = 0
    mated, other = all_scores(left, right, owner)
    # Its row is compared with the other photo of its person, and with ten photos of others.
    assert (mated == -1).sum() == 1
    assert (other == -1).sum() == 10


def test_intervals_are_of_people_not_of_pairs() -> None:
    # One person has half of the pairs, all missed: whether they are drawn decides nearly all.
    people = np.array([0] * 20 + list(range(1, 21)))
    missed = people == 0
    low, high = interval([missed], people, over=None)
    assert low == 0
    assert high > 0.7
    pairs_alone = interval([missed], np.arange(40), over=None)
    assert pairs_alone[0] > 0.3
    # A model over itself.
    assert interval([missed], np.arange(40), over=missed) == (1.0, 1.0)
