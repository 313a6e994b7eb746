"""The LFW rule against an independent brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import KFold

from visavis.errors import OptionError
from visavis.metrics.accuracy import (
    best_accuracy_threshold,
    kfold_accuracy,
    standard_error,
    stratified_folds,
)

labelled = st.lists(
    st.tuples(st.one_of(st.integers(-6, 6).map(lambda k: k / 8), st.floats(-1, 1)), st.booleans()),
    min_size=1,
    max_size=30,
)


def accuracy_at(scores: object, same: object, threshold: float) -> float:
    return float(np.mean((np.asarray(scores) >= np.float64(threshold)) == np.asarray(same)))


def brute_force_threshold(scores: list[float], same: list[bool]) -> float:
    """The stated rule, interval by interval."""
    values = sorted(set(scores))
    candidates = [values[0]]
    for low, high in itertools.pairwise(values):
        middle = low + (high - low) / 2
        candidates.append(middle if low < middle else high)
    candidates.append(float(np.nextafter(values[-1], np.inf)))
    right = [sum((s >= t) == y for s, y in zip(scores, same, strict=True)) for t in candidates]
    best = [t for t, r in zip(candidates, right, strict=True) if r == max(right)]
    return best[(len(best) - 1) // 2]


@given(labelled)
def test_best_threshold_matches_brute_force(pairs: list[tuple[float, bool]]) -> None:
    scores, same = [p[0] for p in pairs], [p[1] for p in pairs]
    threshold = best_accuracy_threshold(scores, same)
    assert threshold == brute_force_threshold(scores, same)
    # No threshold at all does better.
    best = accuracy_at(scores, same, threshold)
    for t in [*scores, -2.0, 2.0, *(np.nextafter(scores, 2.0))]:
        assert accuracy_at(scores, same, t) <= best


def test_neighboring_floats_have_no_middle() -> None:
    low = 0.5
    high = float(np.nextafter(low, 1))
    threshold = best_accuracy_threshold([low, high], [False, True])
    assert accuracy_at([low, high], [False, True], threshold) == 1.0


def test_float32_scores_are_compared_exactly() -> None:
    scores = np.array([0.1, np.nextafter(np.float32(0.1), np.float32(1))], dtype=np.float32)
    threshold = best_accuracy_threshold(scores, [False, True])
    assert accuracy_at(scores, [False, True], threshold) == 1.0


@given(labelled, st.randoms(use_true_random=False))
def test_order_does_not_matter(pairs: list[tuple[float, bool]], rnd) -> None:
    shuffled = list(pairs)
    rnd.shuffle(shuffled)
    assert best_accuracy_threshold(*zip(*pairs, strict=True)) == best_accuracy_threshold(
        *zip(*shuffled, strict=True)
    )


@pytest.mark.parametrize("seed", range(4))
def test_kfold_follows_the_lfw_rule(seed: int) -> None:
    rng = np.random.default_rng(seed)
    same = rng.random(300) < 0.5
    scores = (rng.normal(0.1, 0.2, 300) + 0.3 * same).round(2)
    folds = rng.permutation(np.arange(300) % 10)
    accuracies, thresholds = [], []
    for fold in range(10):
        train = [k for k in range(300) if folds[k] != fold]
        test = [k for k in range(300) if folds[k] == fold]
        t = brute_force_threshold([scores[k] for k in train], [bool(same[k]) for k in train])
        thresholds.append(t)
        accuracies.append(sum((scores[k] >= t) == same[k] for k in test) / len(test))
    result = kfold_accuracy(scores, same, folds)
    mean = sum(accuracies) / 10
    assert result.accuracies.tolist() == accuracies
    assert result.thresholds.tolist() == thresholds
    assert result.mean == pytest.approx(mean, abs=1e-15)
    spread = (sum((a - mean) ** 2 for a in accuracies) / 9) ** 0.5
    assert result.standard_error == pytest.approx(spread / 10**0.5, abs=1e-15)
    assert result.folds.tolist() == list(range(10))
    assert result.pairs.tolist() == [30] * 10


def test_kfold_gives_folds_of_unequal_size_equal_weight() -> None:
    result = kfold_accuracy([0.9, 0.1, 0.9, 0.2, 0.95], [1, 0, 1, 0, 0], [7, 7, 9, 9, 9])
    assert result.accuracies.tolist() == pytest.approx([1.0, 2 / 3])
    assert result.mean == pytest.approx((1 + 2 / 3) / 2)


def test_kfold_does_not_depend_on_the_order_of_pairs() -> None:
    rng = np.random.default_rng(5)
    scores, same, folds = rng.random(60), rng.random(60) < 0.5, np.arange(60) % 5
    order = rng.permutation(60)
    a = kfold_accuracy(scores, same, folds)
    b = kfold_accuracy(scores[order], same[order], folds[order])
    assert a.to_dict() == b.to_dict()


@pytest.mark.parametrize(
    ("scores", "same", "folds", "message"),
    [
        ([0.1, 0.2], [0, 1], [1, 1], "single fold"),
        ([0.1, 0.2], [0, 1], [1.5, 2], "integer"),
        ([0.1, 0.2], [0, 1], [1], "folds of shape"),
        ([0.1, 0.2], [0], [1, 2], "labels of shape"),
        ([0.1, 0.2], [0, 2], [1, 2], "true and false"),
        ([0.1, float("nan")], [0, 1], [1, 2], "not finite"),
    ],
)
def test_kfold_refuses(scores, same, folds, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        kfold_accuracy(scores, same, folds)


@given(st.lists(st.booleans(), min_size=4, max_size=80), st.integers(2, 10))
def test_stratified_folds_are_kfold_within_each_kind(same: list[bool], folds: int) -> None:
    flags = np.array(same)
    if folds > min(flags.sum(), (~flags).sum()):
        with pytest.raises(OptionError, match="folds for"):
            stratified_folds(flags, folds)
        return
    label = stratified_folds(flags, folds)
    for kind in (flags, ~flags):
        members = np.flatnonzero(kind)
        for k, (_, test) in enumerate(KFold(folds, shuffle=False).split(members)):
            assert np.flatnonzero(kind & (label == k + 1)).tolist() == members[test].tolist()


def test_standard_error_of_one_value_is_unknown() -> None:
    assert np.isnan(standard_error([0.5]))
