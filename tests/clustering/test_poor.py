"""Poor faces go to the nearest cluster that may have them, the better fit first."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contracts.clusterer import people

from visavis.clustering import attaching
from visavis.clustering.clusterer import Constraints
from visavis.clustering.constraints import resolve
from visavis.clustering.merging import Merging
from visavis.faces import quality


def attach(labels, vectors, resolved, *, threshold):
    """Labels of any numbering; clusters keep their label."""
    named = np.full_like(labels, -1)  # as ``attach`` wants it: a cluster is one of its faces
    total, faces = vectors.astype(np.float32), np.ones(len(labels))
    for label in set(labels[labels >= 0].tolist()):
        own = np.flatnonzero(labels == label)
        named[own] = own[0]
        total[own[0]], faces[own[0]] = vectors[own].sum(axis=0), len(own)
    merging = Merging(total, faces, resolved, center=0.0)
    found = attaching.attach(named, merging, resolved, cosine=-np.inf, mean=threshold)
    return np.array([labels[name] if name >= 0 else -1 for name in found])


def naive(labels, vectors, apart, threshold):
    """Everybody asks the best cluster left on a list of their own; the better fit comes first."""
    labels = labels.copy()
    good = labels >= 0
    means = {c: vectors[good & (labels == c)].mean(axis=0) for c in set(labels[good].tolist())}
    lists = {}
    for k in np.flatnonzero(~good).tolist():
        fits = sorted(((float(vectors[k] @ mean), c) for c, mean in means.items()), reverse=True)
        lists[k] = [(fit, c) for fit, c in fits if fit >= threshold]
    while any(lists.values()):
        asked = sorted(((*lists[k].pop(0), k) for k in lists if lists[k]), reverse=True)
        for _, c, k in asked:
            if not any(labels[j] == c for j in apart[k]):
                labels[k] = c
                lists[k] = []
    return labels


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 999), st.floats(0.1, 0.7))
def test_as_by_trying_all(seed: int, threshold: float) -> None:
    vectors, who = people([5, 4, 6, 3], seed=seed, dimension=24, spread=1.0)
    vectors = vectors.astype(np.float64)
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(len(who)) < 0.5, who, -1)
    photos = rng.integers(0, 9, len(who))
    # Photos in which two good faces of one person are would contradict the labels.
    for photo in range(9):
        own = np.flatnonzero(photos == photo)
        for person in range(4):
            photos[own[(labels[own] == person)][1:]] = -1
    resolved = resolve(Constraints(photos=photos), len(who))
    apart = {
        k: [j for j in range(len(who)) if j != k and photos[j] == photos[k] >= 0]
        for k in range(len(who))
    }
    got = attach(labels, vectors, resolved, threshold=threshold)
    if not (labels >= 0).any():
        np.testing.assert_array_equal(got, labels)
        return
    np.testing.assert_array_equal(got, naive(labels, vectors, apart, threshold))
    assert not resolved.clashing(got).any()


def test_nobody_to_join() -> None:
    vectors, _ = people([2])
    alone = attach(np.array([-1, -1]), vectors.astype(np.float64), resolve(None, 2), threshold=0)
    assert alone.tolist() == [-1, -1]


def test_the_bar_is_that_of_the_faces_room() -> None:
    assert attaching.POOR == quality.POOR
