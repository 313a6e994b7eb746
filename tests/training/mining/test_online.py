"""Miners in the batch against loops and pytorch-metric-learning."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.miners import BatchHardMiner, TripletMarginMiner
from torch import Tensor

from visavis.training.mining import online
from visavis.training.mining.online import (
    Triplets,
    active_share,
    batch_all,
    batch_hard,
    candidates,
    semi_hard,
)

Case = tuple[Tensor, Tensor, Tensor, Tensor]


@st.composite
def batches(draw: st.DrawFn) -> Case:
    """Embeddings and labels of a batch, and of a reference that begins with it."""
    rows = draw(st.integers(1, 9))
    more = draw(st.integers(0, 6))
    labels = torch.tensor(draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows)))
    added = torch.tensor(
        draw(st.lists(st.integers(0, 4), min_size=more, max_size=more)), dtype=torch.int64
    )
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    reference = torch.randn(rows + more, 3, dtype=torch.float64, generator=generator)
    return reference[:rows], labels, reference, torch.cat([labels, added])


def matrix(raw: Tensor, reference: Tensor) -> Tensor:
    distances: Tensor = LpDistance(power=2)(raw, reference)
    return distances


def naive(labels: Tensor, reference_labels: Tensor) -> list[tuple[int, int, int]]:
    found = []
    for a in range(len(labels)):
        for p in range(len(reference_labels)):
            for n in range(len(reference_labels)):
                mated = p != a and labels[a] == reference_labels[p]
                if mated and labels[a] != reference_labels[n]:
                    found.append((a, p, n))
    return found


def listed(triplets: Triplets) -> list[tuple[int, int, int]]:
    return list(zip(*(rows.tolist() for rows in triplets), strict=True))


@settings(deadline=None, max_examples=30)
@given(batches(), st.sampled_from([0.0, 0.2, 1.0]))
def test_batch_all_and_active_share(case: Case, margin: float) -> None:
    raw, labels, reference, reference_labels = case
    distances = matrix(raw, reference)
    triplets = naive(labels, reference_labels)
    violating = [
        (a, p, n) for a, p, n in triplets if distances[a, p] - distances[a, n] + margin > 0
    ]
    masks = candidates(labels, reference_labels)
    assert listed(batch_all(distances, *masks, margin=margin)) == violating
    share = active_share(distances, *masks, margin=margin).item()
    if triplets:
        assert share == pytest.approx(len(violating) / len(triplets))
    else:
        assert math.isnan(share)


@settings(deadline=None, max_examples=30)
@given(batches())
def test_batch_hard(case: Case) -> None:
    raw, labels, reference, reference_labels = case
    distances = matrix(raw, reference)
    expected = []
    for a in range(len(labels)):
        triplets = [t for t in naive(labels, reference_labels) if t[0] == a]
        if triplets:
            p = max((p for _, p, _ in triplets), key=lambda p: distances[a, p])
            n = min((n for _, _, n in triplets), key=lambda n: distances[a, n])
            expected.append((a, p, n))
    assert listed(batch_hard(distances, *candidates(labels, reference_labels))) == expected


@settings(deadline=None, max_examples=30)
@given(batches(), st.sampled_from([0.2, 1.0]))
def test_semi_hard(case: Case, margin: float) -> None:
    raw, labels, reference, reference_labels = case
    distances = matrix(raw, reference)
    eligible = [
        (a, p, n)
        for a, p, n in naive(labels, reference_labels)
        if distances[a, p] < distances[a, n] < distances[a, p] + margin
    ]
    masks = candidates(labels, reference_labels)
    generator = torch.Generator().manual_seed(0)
    found = listed(semi_hard(distances, *masks, margin=margin, generator=generator))
    assert set(found) <= set(eligible)
    # One for each pair that has any.
    assert [t[:2] for t in found] == sorted({t[:2] for t in eligible})


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    return torch.randn(16, 3, dtype=torch.float64, generator=generator), torch.arange(16) // 3


def test_all_and_hard_equal_the_library() -> None:
    raw, labels = batch()
    distances, masks = matrix(raw, raw), candidates(labels, labels)
    distance = LpDistance(power=2)
    theirs = TripletMarginMiner(margin=0.2, type_of_triplets="all", distance=distance)(raw, labels)
    assert listed(batch_all(distances, *masks, margin=0.2)) == listed(theirs)
    hardest = BatchHardMiner(distance=distance)(raw, labels)
    assert listed(batch_hard(distances, *masks)) == listed(hardest)


def test_semi_hard_draws_evenly_among_the_librarys() -> None:
    raw, labels = batch()
    distances, masks = matrix(raw, raw), candidates(labels, labels)
    miner = TripletMarginMiner(
        margin=0.7, type_of_triplets="semihard", distance=LpDistance(power=2)
    )
    theirs = listed(miner(raw, labels))
    drawn: Counter[tuple[int, int, int]] = Counter()
    generator = torch.Generator().manual_seed(0)
    for _ in range(600):
        drawn.update(listed(semi_hard(distances, *masks, margin=0.7, generator=generator)))
    assert set(drawn) == set(theirs)
    choices = Counter(t[:2] for t in theirs)
    for triplet, times in drawn.items():
        # Six standard deviations of a binomial.
        share = 1 / choices[triplet[:2]]
        assert abs(times - 600 * share) <= 6 * math.sqrt(600 * share * (1 - share)) + 1e-9


def test_large_batches_go_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    raw, labels = batch()
    distances, masks = matrix(raw, raw), candidates(labels, labels)
    whole = listed(batch_all(distances, *masks, margin=0.5))
    pairs = {t[:2] for t in whole}
    monkeypatch.setattr(online, "_MOST_SHORTFALLS", 40)
    monkeypatch.setattr(online, "_MOST_LOTS", 40)
    assert listed(batch_all(distances, *masks, margin=0.5)) == whole
    generator = torch.Generator().manual_seed(0)
    found = listed(semi_hard(distances, *masks, margin=0.5, generator=generator))
    assert len(found) > 10
    assert set(found) <= set(whole)
    assert {t[:2] for t in found} <= pairs
