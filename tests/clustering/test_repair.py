"""Repair keeps every constraint and changes little."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contracts.clusterer import constrained, first_appearance, people, require_held

from visavis.clustering.checks import renumber
from visavis.clustering.clusterer import Constraints
from visavis.clustering.constraints import resolve
from visavis.clustering.repair import split, sums


def repair(labels, vectors, resolved, *, threshold=-1.0):
    """Face labels to face labels; a group of must-linked faces has that of its first face."""
    _, first = np.unique(resolved.group, return_index=True)
    total = sums(vectors, resolved, weights=np.ones(len(vectors)))
    found = split(renumber(labels)[first], total, resolved, threshold=threshold)
    return renumber(found[resolved.group])


def partition(labels):
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist())}


@settings(max_examples=150, deadline=None)
@given(constrained(), st.data())
def test_any_labels_are_made_to_hold(case, data) -> None:
    vectors, _, constraints = case
    n = len(vectors)
    labels = np.array(data.draw(st.lists(st.integers(-1, 3), min_size=n, max_size=n)))
    resolved = resolve(constraints, n)
    repaired = repair(labels, vectors, resolved)
    assert repaired.tolist() == first_appearance(repaired)
    require_held(repaired, constraints)
    # What held stays: nothing is merged but by must-links, and a second repair changes nothing.
    if not len(constraints.must):
        for found in partition(repaired):
            assert len({int(labels[k]) for k in found}) == 1
            assert len(found) == 1 or int(labels[min(found)]) >= 0
    np.testing.assert_array_equal(repair(repaired, vectors, resolved), repaired)


def test_clusters_without_a_clash_are_not_touched() -> None:
    vectors, who = people([5, 5, 5], shuffle=False)
    labels = np.where(who == 2, 2, 0)  # the first two people are one cluster
    photos = np.array([-1] * 10 + [0, 0, -1, -1, -1])
    repaired = repair(labels, vectors, resolve(Constraints(photos=photos), 15))
    assert partition(repaired[:10]) == {frozenset(range(10))}
    assert sorted(len(found) for found in partition(repaired[10:])) == [1, 4]


def test_two_people_in_one_cluster_are_told_apart_by_one_photo() -> None:
    vectors, who = people([20, 10], shuffle=False)
    photos = np.full(30, -1)
    photos[[3, 24]] = 0
    repaired = repair(
        np.zeros(30, dtype=np.int64), vectors, resolve(Constraints(photos=photos), 30)
    )
    assert partition(repaired) == partition(who)


def test_a_face_found_twice_costs_one_face_only() -> None:
    # One person, one photo in which the detector saw the face twice: 29 stay together.
    vectors, _ = people([30], spread=0.9)
    photos = np.full(30, -1)
    photos[[4, 7]] = 0
    repaired = repair(
        np.zeros(30, dtype=np.int64), vectors, resolve(Constraints(photos=photos), 30)
    )
    assert sorted(len(found) for found in partition(repaired)) == [1, 29]


def test_class_photos_in_one_giant_cluster() -> None:
    # 12 people on each of 8 photos, all thrown together: the photos alone sort them.
    vectors, who = people([8] * 12, seed=2)
    photos = np.empty(len(who), dtype=np.int64)
    for person in range(12):
        photos[who == person] = np.arange(8)
    resolved = resolve(Constraints(photos=photos), len(who))
    repaired = repair(np.zeros(len(who), dtype=np.int64), vectors, resolved, threshold=0.4)
    assert partition(repaired) == partition(who)


def test_the_threshold_keeps_strangers_apart() -> None:
    vectors, _ = people([1] * 6, shuffle=False)
    # 0 and 1 are in one photo, 2 and 3 in another, 4 and 5 in a third; all six are strangers.
    resolved = resolve(Constraints(photos=np.array([0, 0, 1, 1, 2, 2])), 6)
    labels = np.zeros(6, dtype=np.int64)
    assert len(partition(repair(labels, vectors, resolved))) == 2
    assert len(partition(repair(labels, vectors, resolved, threshold=0.5))) == 4


@pytest.mark.parametrize("faces_a_photo", [2, 50])
def test_many_clashes_in_one_cluster(faces_a_photo: int) -> None:
    n = 3000
    vectors, _ = people([1] * n, dimension=32)
    photos = np.arange(n) // faces_a_photo
    constraints = Constraints(photos=photos)
    repaired = repair(np.zeros(n, dtype=np.int64), vectors, resolve(constraints, n))
    for photo in range(n // faces_a_photo):
        own = repaired[photos == photo]
        assert len(set(own.tolist())) == faces_a_photo
    assert repaired.max() + 1 <= 2 * faces_a_photo
