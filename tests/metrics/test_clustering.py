"""Clustering metrics against naive loops over pairs, scikit-learn and values worked out by hand."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visavis.errors import OptionError
from visavis.metrics import clustering

LABELS = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(-3, 8), min_size=n, max_size=n),
        st.lists(st.integers(0, 8), min_size=n, max_size=n),
    )
)


def naive_pairwise(true, found):
    together = correct = mated = 0
    for i, j in combinations(range(len(true)), 2):
        together += found[i] == found[j]
        mated += true[i] == true[j]
        correct += found[i] == found[j] and true[i] == true[j]
    return correct / together if together else 1.0, correct / mated if mated else 1.0


def naive_bcubed(true, found):
    n = len(true)
    precision = recall = 0.0
    for i in range(n):
        cluster = {j for j in range(n) if found[j] == found[i]}
        person = {j for j in range(n) if true[j] == true[i]}
        precision += len(cluster & person) / len(cluster) / n
        recall += len(cluster & person) / len(person) / n
    return precision, recall


@settings(max_examples=150, deadline=None)
@given(LABELS)
def test_pairs_and_faces_as_counted_one_by_one(labels) -> None:
    true, found = labels
    for measured, naive in (
        (clustering.pairwise(true, found), naive_pairwise(true, found)),
        (clustering.bcubed(true, found), naive_bcubed(true, found)),
    ):
        assert (measured.precision, measured.recall) == pytest.approx(naive)
        p, r = naive
        assert measured.f1 == pytest.approx(2 * p * r / (p + r) if p + r else 0.0)


def entropy(groups) -> float:
    """In nats, of the groups that equal values make."""
    counts = Counter(groups).values()
    return -sum(c / sum(counts) * math.log(c / sum(counts)) for c in counts)


@settings(max_examples=150, deadline=None)
@given(LABELS)
def test_entropies_and_rand_by_their_formulas(labels) -> None:
    true, found = labels
    both, person, cluster = entropy(zip(true, found, strict=True)), entropy(true), entropy(found)
    measured = clustering.v_measure(true, found)
    h = 1 - (both - cluster) / person if len(set(true)) > 1 else 1.0
    c = 1 - (both - person) / cluster if len(set(found)) > 1 else 1.0
    assert measured.homogeneity == pytest.approx(h, abs=1e-9)
    assert measured.completeness == pytest.approx(c, abs=1e-9)
    v = 2 * h * c / (h + c) if h + c > 1e-12 else 0.0
    assert measured.v_measure == pytest.approx(v, abs=1e-6)
    assert clustering.scores(true, found).nmi == measured.v_measure
    pairs = list(combinations(range(len(true)), 2))
    mates = [true[i] == true[j] for i, j in pairs]
    joined = [found[i] == found[j] for i, j in pairs]
    tp = sum(m and k for m, k in zip(mates, joined, strict=True))
    expected = sum(mates) * sum(joined) / len(pairs) if pairs else 0.0
    most = (sum(mates) + sum(joined)) / 2
    ari = (tp - expected) / (most - expected) if mates != joined else 1.0
    assert clustering.adjusted_rand(true, found) == pytest.approx(ari, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(LABELS, st.randoms(use_true_random=False))
def test_names_and_order_of_labels_do_not_matter(labels, random) -> None:
    true, found = labels
    names = list(range(100, 120))
    random.shuffle(names)
    order = list(range(len(true)))
    random.shuffle(order)
    renamed = clustering.scores(
        [f"person {true[k]}" for k in order], [names[found[k]] for k in order]
    ).to_dict()
    plain = clustering.scores(true, found).to_dict()
    for name, value in plain.items():
        assert renamed[name] == pytest.approx(value)


@settings(max_examples=50, deadline=None)
@given(LABELS)
def test_swapping_the_sides_swaps_precision_and_recall(labels) -> None:
    true, found = labels
    for metric in (clustering.pairwise, clustering.bcubed):
        one, other = metric(true, found), metric(found, true)
        assert one.precision == pytest.approx(other.recall)
        assert one.f1 == pytest.approx(other.f1)
    assert clustering.adjusted_rand(true, found) == pytest.approx(
        clustering.adjusted_rand(found, true)
    )


@settings(max_examples=50, deadline=None)
@given(LABELS)
def test_the_truth_scores_one(labels) -> None:
    true, found = labels
    measured = clustering.scores(true, [2 * k for k in true])
    assert measured.pairwise.f1 == measured.bcubed.f1 == measured.ari == 1
    assert measured.nmi == pytest.approx(1)
    assert measured.v_measure == pytest.approx(1)
    sizes = Counter(found)
    counted = clustering.scores(true, found)
    assert counted.clusters == len(sizes)
    assert counted.singletons == sum(size == 1 for size in sizes.values())
    assert counted.largest == max(sizes.values())
    assert counted.people == len(set(true))
    assert counted.faces == len(true)


def test_everything_in_one_cluster() -> None:
    measured = clustering.scores([0, 0, 1, 2], [0, 0, 0, 0])
    assert measured.pairwise.precision == pytest.approx(1 / 6)
    assert measured.pairwise.recall == measured.bcubed.recall == 1
    assert measured.bcubed.precision == pytest.approx((2 * 2 / 4 + 1 / 4 + 1 / 4) / 4)
    assert (measured.homogeneity, measured.completeness, measured.nmi) == (0, 1, 0)
    assert measured.ari == 0


def test_every_face_alone() -> None:
    measured = clustering.scores([0, 0, 1, 2], [0, 1, 2, 3])
    assert measured.pairwise.precision == measured.bcubed.precision == 1
    assert measured.pairwise.recall == measured.pairwise.f1 == 0
    assert measured.bcubed.recall == pytest.approx((0.5 + 0.5 + 1 + 1) / 4)
    assert (measured.clusters, measured.singletons, measured.largest) == (4, 4, 1)
    assert measured.homogeneity == pytest.approx(1)


def test_one_face() -> None:
    measured = clustering.scores([5], ["a"])
    assert measured.pairwise.f1 == measured.bcubed.f1 == measured.nmi == measured.ari == 1
    assert measured.v_measure == 1


def test_amigo_rag_bag_constraint() -> None:
    # Section 4.3 of the paper: disorder is better put into a disordered cluster than a clean one.
    clean, bag = [0, 0, 0, 0], [1, 2, 3, 4]
    stray = [5]
    true = clean + bag + stray
    spoiled = clustering.bcubed(true, [0] * 4 + [1] * 4 + [0]).f1
    binned = clustering.bcubed(true, [0] * 4 + [1] * 4 + [1]).f1
    assert binned > spoiled


def test_a_million_faces_have_exact_pair_counts() -> None:
    true = np.repeat(np.arange(2), 500_000)
    measured = clustering.pairwise(true, np.zeros(1_000_000, dtype=np.int64))
    assert measured.precision == 2 * (500_000 * 499_999) / (1_000_000 * 999_999)
    rng = np.random.default_rng(0)
    many = clustering.scores(
        rng.integers(0, 200_000, 1_000_000), rng.integers(0, 300_000, 1 << 20)[:1_000_000]
    )
    assert abs(many.ari) < 1e-3


@pytest.mark.parametrize(
    ("true", "found", "named"),
    [
        ([], [], "no true labels"),
        ([1, 2], [1], "2 true labels and 1"),
        ([[1], [2]], [1, 2], "shape"),
        ([0.5, 1.0], [1, 2], "float64"),
        ([1, 2], [0.0, float("nan")], "found labels"),
        (np.array([1, "a"], dtype=object), [1, 2], "mixed"),
        ([1, 2], None, "alone"),
    ],
)
def test_other_inputs_are_refused(true, found, named) -> None:
    with pytest.raises(OptionError, match=named):
        clustering.scores(true, found)


def test_a_table_is_not_given_with_labels() -> None:
    table = clustering.contingency([1, 1], [0, 1])
    assert clustering.pairwise(table).recall == 0
    with pytest.raises(OptionError, match="one or the other"):
        clustering.pairwise(table, [0, 1])
