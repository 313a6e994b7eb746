"""Poor faces go to the nearest cluster that may have them, the surest first."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contracts.clusterer import people

from visavis.clustering.clusterer import Constraints
from visavis.clustering.constraints import resolve
from visavis.clustering.poor import attach


def naive(labels, vectors, apart, threshold):
    """The same by trying all pairs of a waiting face and a cluster, highest mean score first."""
    labels = labels.copy()
    good = labels >= 0
    means = {c: vectors[good & (labels == c)].mean(axis=0) for c in set(labels[good].tolist())}
    waiting = sorted(
        np.flatnonzero(~good).tolist(),
        key=lambda k: -max(float(vectors[k] @ mean) for mean in means.values()),
    )
    for k in waiting:
        fits = {
            c: float(vectors[k] @ mean)
            for c, mean in means.items()
            if not any(labels[j] == c for j in apart[k])
        }
        best = max(fits, key=fits.__getitem__, default=None)
        if best is not None and fits[best] >= threshold:
            labels[k] = best
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
    got = attach(labels, vectors, np.ones(len(who)), resolved, threshold=threshold)
    if not (labels >= 0).any():
        np.testing.assert_array_equal(got, labels)
        return
    np.testing.assert_array_equal(got, naive(labels, vectors, apart, threshold))
    assert not resolved.clashing(got).any()


def test_nobody_to_join() -> None:
    vectors, _ = people([2])
    alone = attach(
        np.array([-1, -1]), vectors.astype(np.float64), np.ones(2), resolve(None, 2), threshold=0
    )
    assert alone.tolist() == [-1, -1]
