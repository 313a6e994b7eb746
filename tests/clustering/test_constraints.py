"""Contraction and contradictions against a search by hand through all links."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contracts.clusterer import first_appearance

from visavis.clustering.clusterer import Constraints
from visavis.clustering.constraints import ResolvedConstraints, held, resolve
from visavis.errors import ConstraintError, OptionError

QUICK = settings(max_examples=200, deadline=None)


def pairs_of(resolved: ResolvedConstraints) -> np.ndarray:
    """All pairs of groups that stay apart, ``(P, 2)``, lower first, each once."""
    found = [np.zeros((0, 2), dtype=np.int64)]
    for own in np.split(resolved.member, np.flatnonzero(np.diff(resolved.clique)) + 1):
        i, j = np.triu_indices(len(own), 1)
        found.append(np.stack([own[i], own[j]], axis=1))
    return np.unique(np.concatenate(found), axis=0)


@st.composite
def any_constraints(draw):
    """Constraints that may well contradict each other."""
    n = draw(st.integers(1, 9))
    pair = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1))
    must = draw(st.lists(pair, max_size=5))
    cannot = draw(st.lists(pair, max_size=4))
    photos = draw(st.none() | st.lists(st.integers(-1, 3), min_size=n, max_size=n))
    return (
        n,
        must,
        cannot,
        photos,
        Constraints(
            photos=None if photos is None else np.array(photos),
            must=np.array(must, dtype=np.int64).reshape(-1, 2),
            cannot=np.array(cannot, dtype=np.int64).reshape(-1, 2),
        ),
    )


def reached(n, links):
    """For each face the set of faces that links lead to."""
    sets = [{k} for k in range(n)]
    for _ in range(n):
        for a, b in links:
            whole = sets[a] | sets[b]
            for k in whole:
                sets[k] = sets[k] | whole
    return sets


def apart(n, must, cannot, photos):
    """All pairs of faces that are two people, and whether that can be."""
    same = reached(n, must)
    photos = [-1] * n if photos is None else photos
    mirrored = reached(n, [(a, b) for a, b in must if photos[a] == photos[b] >= 0])
    pairs = {(a, b) for a, b in cannot}
    pairs |= {
        (a, b)
        for a in range(n)
        for b in range(n)
        if a != b and photos[a] == photos[b] >= 0 and b not in mirrored[a]
    }
    possible = all(b not in same[a] for a, b in pairs)
    return same, {(x, y) for a, b in pairs for x in same[a] for y in same[b]}, possible


@QUICK
@given(any_constraints())
def test_as_found_link_by_link(case) -> None:
    n, must, cannot, photos, constraints = case
    same, pairs, possible = apart(n, must, cannot, photos)
    if not possible:
        with pytest.raises(ConstraintError, match=r"face"):
            resolve(constraints, n)
        return
    found = resolve(constraints, n)
    assert found.group.tolist() == first_appearance([min(whole) for whole in same])
    assert found.count == len({min(whole) for whole in same})
    want = {tuple(sorted((int(found.group[a]), int(found.group[b])))) for a, b in pairs}
    assert {tuple(pair) for pair in pairs_of(found).tolist()} == want


@QUICK
@given(any_constraints(), st.data())
def test_held_as_checked_pair_by_pair(case, data) -> None:
    n, must, cannot, photos, constraints = case
    same, pairs, possible = apart(n, must, cannot, photos)
    if not possible:
        return
    labels = np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    want = all(labels[a] == labels[b] for a in range(n) for b in same[a]) and all(
        labels[a] != labels[b] for a, b in pairs
    )
    assert held(constraints, labels) == want


@QUICK
@given(any_constraints(), st.data())
def test_other_orders_mean_the_same(case, data) -> None:
    n, _, _, _, constraints = case
    try:
        found = resolve(constraints, n)
    except ConstraintError:
        return
    order = np.array(data.draw(st.permutations(range(n))))
    moved = found.reorder(order)
    assert moved.group.tolist() == first_appearance(found.group[order])

    def faces(resolved, names):
        return {
            frozenset((int(names[a]), int(names[b])))
            for x, y in pairs_of(resolved).tolist()
            for a in np.flatnonzero(resolved.group == x)
            for b in np.flatnonzero(resolved.group == y)
        }

    assert faces(moved, order) == faces(found, np.arange(n))


def test_no_constraints() -> None:
    found = resolve(None, 3)
    assert (found.group.tolist(), found.count, len(found.clique)) == ([0, 1, 2], 3, 0)
    assert resolve(Constraints(), 0).count == 0
    assert pairs_of(found).shape == (0, 2)


def test_a_class_photo_is_one_clique() -> None:
    found = resolve(Constraints(photos=np.zeros(1000, dtype=np.int64)), 1000)
    assert len(found.member) == 1000
    assert len(np.unique(found.clique)) == 1


def test_an_explicit_link_beats_the_photo_but_a_chain_does_not() -> None:
    photos = np.array([0, 0, 0, 1])
    mirror = Constraints(photos=photos, must=np.array([[0, 1], [1, 2]]))
    assert resolve(mirror, 4).group.tolist() == [0, 0, 0, 1]
    chain = Constraints(photos=photos, must=np.array([[0, 3], [3, 1]]))
    with pytest.raises(ConstraintError, match=r"0 and 1.*photo"):
        resolve(chain, 4)
    both = Constraints(photos=photos, must=np.array([[0, 3], [3, 1], [0, 1]]))
    assert resolve(both, 4).group.tolist() == [0, 0, 1, 0]


def test_must_and_cannot_of_one_pair() -> None:
    with pytest.raises(ConstraintError, match="2 and 0"):
        resolve(Constraints(must=np.array([[0, 2]]), cannot=np.array([[2, 0]])), 3)


def test_a_million_faces_in_one_chain() -> None:
    n = 1_000_000
    chain = np.stack([np.arange(n - 1), np.arange(1, n)], axis=1)
    found = resolve(Constraints(must=chain), n)
    assert found.count == 1
    with pytest.raises(ConstraintError, match=f"0 and {n - 1}"):
        resolve(Constraints(must=chain, cannot=np.array([[0, n - 1]])), n)
    photos = np.arange(n) // 4
    cannot = np.random.default_rng(0).integers(0, n, (100_000, 2))
    cannot = cannot[cannot[:, 0] != cannot[:, 1]]
    apart_too = resolve(Constraints(photos=photos, cannot=cannot), n)
    assert len(np.unique(apart_too.clique)) == n // 4 + len(cannot)


@pytest.mark.parametrize(
    ("constraints", "error", "named"),
    [
        (Constraints(must=np.array([[0, 3]])), ConstraintError, "must-link of face 3, of 3"),
        (Constraints(cannot=np.array([[-1, 0]])), ConstraintError, "cannot-link of face -1"),
        (Constraints(must=np.array([[0, 1, 2]])), OptionError, "must-links of shape"),
        (Constraints(cannot=np.array([[0.0, 1.0]])), OptionError, "float64"),
        (Constraints(photos=np.array([0, 1])), OptionError, "for 3 faces"),
        (Constraints(photos=np.array([0.0, 1, 2])), OptionError, "float64"),
        (Constraints(photos=np.array([0, 1, -2])), OptionError, "photo -2"),
    ],
)
def test_what_is_not_accepted(constraints, error, named) -> None:
    with pytest.raises(error, match=named):
        resolve(constraints, 3)
