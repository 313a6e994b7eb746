from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from visavis.errors import DataError, OptionError
from visavis.training.data.samplers import (
    Batches,
    PairBatches,
    PeopleBatches,
    ShuffledBatches,
    TripletBatches,
)

Labels = NDArray[np.int64]
Maker = Callable[..., Batches]
TRIPLETS = np.array([[0, 1, 4], [1, 2, 5], [3, 0, 6], [4, 5, 0], [5, 4, 1]])


def people(labels: Labels, **options: int) -> Batches:
    return PeopleBatches(labels, people=3, photos=4, **options)


def pairs(labels: Labels, **options: int) -> Batches:
    return PairBatches(labels, batch_size=12, **options)


def triplets(labels: Labels, **options: int) -> Batches:
    return TripletBatches(labels, batch_size=12, **options)


def mined(labels: Labels, **options: int) -> Batches:
    return TripletBatches(labels, batch_size=12, **options).remined(TRIPLETS)


def shuffled(labels: Labels, **options: int) -> Batches:
    return ShuffledBatches(labels, batch_size=12, **options)


MAKERS = [people, pairs, triplets, mined, shuffled]
LABELS = np.repeat(np.arange(21), [4, 2, 1, 1, 9, 1, 3, 30, 1, 2, 2, 2, 5, 1, 1, 4, 4, 2, 1, 7, 13])


def joined(batches: Batches, epoch: int) -> Labels:
    return np.stack(list(batches.batches(epoch)))


@pytest.mark.parametrize("make", MAKERS)
def test_a_pure_function_of_seed_and_epoch(make: Maker) -> None:
    batches = make(LABELS, seed=5)
    first, second = joined(batches, 0), joined(batches, 1)
    assert first.dtype == np.int64
    assert first.shape == (len(batches), 12)
    assert len(batches) == 96 // 12
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(joined(make(LABELS, seed=5), 1), second)
    np.testing.assert_array_equal(joined(batches, 0), first)
    assert not np.array_equal(joined(make(LABELS, seed=6), 0), first)


@pytest.mark.parametrize("make", MAKERS)
def test_an_epoch_goes_on_from_any_batch(make: Maker) -> None:
    batches = make(LABELS, seed=5)
    whole = joined(batches, 2)
    for start in (0, 1, 5):
        np.testing.assert_array_equal(
            np.stack(list(batches.batches(2, start=start))), whole[start:]
        )
    assert list(batches.batches(2, start=len(batches))) == []


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("world", [2])
def test_shares_of_the_processes_join_to_one_batch(make: Maker, world: int) -> None:
    whole = joined(make(LABELS, seed=5), 3)
    shares = [joined(make(LABELS, seed=5, rank=rank, world=world), 3) for rank in range(world)]
    np.testing.assert_array_equal(np.concatenate(shares, axis=1), whole)


@pytest.mark.parametrize("make", MAKERS)
def test_people_with_one_photo_are_counted_and_come(make: Maker) -> None:
    batches = make(LABELS, seed=5)
    assert batches.singles == 7
    if make is mined:
        return
    alone = np.flatnonzero(np.isin(LABELS, [2, 3, 5, 8, 13, 14, 18]))
    seen = set(np.concatenate([joined(batches, epoch).ravel() for epoch in range(12)]))
    assert set(alone) <= seen


@pytest.mark.parametrize("make", [people, shuffled])
def test_each_photo_once_an_epoch(make: Maker) -> None:
    for epoch in range(3):
        assert sorted(joined(make(LABELS, seed=1), epoch).ravel()) == list(range(96))


@pytest.mark.parametrize("make", MAKERS)
def test_labels_need_neither_order_nor_small_numbers(make: Maker) -> None:
    order = np.random.default_rng(0).permutation(96)
    where = np.argsort(order)
    scattered = 1000 * LABELS[order] + 7
    if make is mined:
        batches = triplets(scattered, seed=5).remined(where[TRIPLETS])
    else:
        batches = make(scattered, seed=5)
    rows = joined(batches, 0)
    assert rows.min() >= 0
    assert rows.max() < 96
    if make is pairs:
        mates = scattered[rows[:, ::2]] == scattered[rows[:, 1::2]]
        assert mates.sum() == len(batches) * 3
    elif make in {triplets, mined}:
        anchors, positives, negatives = (scattered[rows[:, k::3]] for k in range(3))
        assert (anchors == positives).all()
        assert (anchors != negatives).all()


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(1, 11), min_size=4, max_size=20),
    st.integers(2, 4),
    st.integers(0, 99),
)
def test_groups_are_even_and_lie_together(counts: list[int], photos: int, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    batches = PeopleBatches(labels, people=2, photos=photos, seed=seed)
    rows = batches.order(0).ravel()
    # Whole groups, but for those at the end that sit out: dealt evenly, at most `photos` each.
    runs = []
    for row in rows:
        if runs and labels[runs[-1][0]] == labels[row]:
            runs[-1].append(row)
        else:
            runs.append([row])
    least = {
        person: n // -(-n // photos) for person, n in enumerate(counts)
    }  # floor(n / number of groups)
    for run in runs[:-1]:
        assert len(run) >= least[int(labels[run[0]])]
    assert len(set(rows.tolist())) == len(rows)


def test_people_times_photos_where_everybody_has_enough() -> None:
    labels = np.repeat(np.arange(30), 4)
    batches = PeopleBatches(labels, people=5, photos=4, seed=0)
    for batch in batches.batches(0):
        assert sorted(Counter(labels[batch].tolist()).values()) == [4] * 5
    dealt = [frozenset(labels[b].tolist()) for b in batches.batches(0)]
    assert dealt != [frozenset(labels[b].tolist()) for b in batches.batches(1)]


def test_a_cap_on_the_photos_of_a_person() -> None:
    batches = PeopleBatches(LABELS, people=3, photos=4, seed=0, most=6)
    kept = int(np.minimum(np.bincount(LABELS), 6).sum())
    assert len(batches) == kept // 12
    seen: set[int] = set()
    for epoch in range(30):
        rows = joined(batches, epoch).ravel()
        assert np.bincount(LABELS[rows]).max() <= 6
        assert len(set(rows.tolist())) == len(rows)
        seen |= set(rows.tolist())
    assert seen == set(range(96))


def test_half_the_pairs_are_mated() -> None:
    for batch in PairBatches(LABELS, batch_size=16, seed=0).batches(0):
        first, second = batch[::2], batch[1::2]
        assert (first != second).all()
        mated = LABELS[first] == LABELS[second]
        np.testing.assert_array_equal(mated, np.arange(8) % 2 == 0)


def test_partners_are_drawn_evenly() -> None:
    labels = np.array([0, 0, 0, 1, 2, 2])
    mates: Counter[tuple[int, int]] = Counter()
    non_mated: Counter[tuple[int, int]] = Counter()
    batches = PairBatches(labels, batch_size=6, seed=0)
    for epoch in range(2000):
        for batch in batches.batches(epoch):
            for first, second in batch.reshape(-1, 2).tolist():
                kind = mates if labels[first] == labels[second] else non_mated
                kind[first, second] += 1
    possible = {(i, j) for i in range(6) for j in range(6) if i != j}
    assert set(mates) == {(i, j) for i, j in possible if labels[i] == labels[j]}
    assert set(non_mated) == {(i, j) for i, j in possible if labels[i] != labels[j]}
    total = sum(non_mated.values())
    for first in range(6):
        # First of a non-mated pair: each photo alike; its partner: each stranger alike.
        others = [times for (i, _), times in non_mated.items() if i == first]
        assert sum(others) == pytest.approx(total / 6, rel=0.15)
        even = sum(others) / len(others)
        assert max(abs(times - even) for times in others) < 5 * even**0.5


def test_random_triplets() -> None:
    batches = TripletBatches(LABELS, batch_size=12, seed=0)
    anchors: Counter[int] = Counter()
    for epoch in range(40):
        for batch in batches.batches(epoch):
            a, p, n = batch.reshape(-1, 3).T
            assert (LABELS[a] == LABELS[p]).all()
            assert (a != p).all()
            assert (LABELS[a] != LABELS[n]).all()
            anchors.update(a.tolist())
        # 32 triplets an epoch from 89 photos with a mate: no anchor twice in one.
        assert max(anchors.values()) <= epoch + 1
    assert set(anchors) == set(np.flatnonzero(np.bincount(LABELS)[LABELS] > 1))


def test_mined_triplets_are_dealt_in_turn() -> None:
    sampler = TripletBatches(LABELS, batch_size=12, seed=0).remined(TRIPLETS)
    dealt = Counter(tuple(row) for row in sampler.order(0).reshape(-1, 3).tolist())
    assert set(dealt) == {tuple(row) for row in TRIPLETS.tolist()}
    assert max(dealt.values()) - min(dealt.values()) <= 1


@pytest.mark.parametrize(
    "rows",
    [[[0, 4, 5]], [[0, 1, 2]], [[0, 0, 5]], [[0, 1, 96]], [[-1, 1, 5]], [0, 1, 5], [[0, 1]], []],
)
def test_mined_triplets_are_checked(rows: list[list[int]]) -> None:
    with pytest.raises(DataError, match="riplet"):
        TripletBatches(LABELS, batch_size=12, seed=0).remined(np.array(rows))


def test_lookalikes_share_batches() -> None:
    """Forty people of two photos in ten cells of four: a batch of four people is one cell."""
    labels = np.repeat(np.arange(40), 2)
    cells = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 4))
    batches = PeopleBatches(labels, people=4, photos=2, seed=0).remined(cells)
    assert len(batches) == 10
    order = []
    for batch in batches.batches(0):
        assert sorted(Counter(labels[batch].tolist()).values()) == [2] * 4
        (cell,) = set(cells[labels[batch]].tolist())
        order.append(cell)
    assert sorted(order) == list(range(10))
    assert order != [int(cells[labels[batch[0]]]) for batch in batches.batches(1)]


def test_a_person_with_many_photos_does_not_fill_the_cells_batches() -> None:
    labels = np.repeat(np.arange(16), [40, *[2] * 15])
    cells = np.repeat(np.arange(4), 4)
    batches = PeopleBatches(labels, people=4, photos=2, seed=0).remined(cells)
    rows = batches.order(0).ravel()
    assert len(set(rows.tolist())) == len(rows)
    # Person 0 has twenty groups, but only one of them stands with the rest of its cell.
    places = np.flatnonzero(np.isin(labels[rows], [1, 2, 3]))
    assert places.max() - places.min() < 8


def test_every_other_stranger_looks_alike() -> None:
    labels = np.repeat(np.arange(40), 2)
    cells = np.arange(40) // 4
    batches = PairBatches(labels, batch_size=16, seed=0).remined(cells)
    near = []
    for epoch in range(10):
        for batch in batches.batches(epoch):
            first, second = labels[batch[::2]], labels[batch[1::2]]
            assert (first != second)[1::2].all()
            near.append((cells[first] == cells[second])[1::2])
    # Of the drawn-from-anywhere half, 3 of 39 strangers are of the cell.
    assert np.concatenate(near).mean() == pytest.approx(0.5 + 0.5 * 3 / 39, abs=0.06)


def test_cells_of_one_person_fall_back_on_everybody() -> None:
    labels = np.repeat(np.arange(6), 2)
    batches = PairBatches(labels, batch_size=12, seed=0).remined(np.arange(6))
    batch = next(batches.batches(0))
    assert (labels[batch[2::4]] != labels[batch[3::4]]).all()


@pytest.mark.parametrize("cells", [np.arange(3), np.zeros((21, 1), dtype=np.int64)])
def test_everybody_needs_a_cell(cells: NDArray[np.int64]) -> None:
    for sampler in (people(LABELS, seed=0), pairs(LABELS, seed=0)):
        assert isinstance(sampler, (PeopleBatches, PairBatches))
        with pytest.raises(DataError, match="cell"):
            sampler.remined(cells)


@pytest.mark.parametrize("make", [people, pairs, triplets, shuffled])
def test_a_small_folder_is_one_batch(make: Maker) -> None:
    labels = np.array([0, 0, 0, 1, 1, 2, 3])
    batches = make(labels, seed=0)
    assert len(batches) == 1
    assert len(next(batches.batches(0))) == {pairs: 6, triplets: 6}.get(make, 7)
    with pytest.raises(DataError, match="give"):
        make(labels[:1], seed=0, rank=0, world=2)
    with pytest.raises(DataError, match="person"):
        make(labels[:0], seed=0)


@pytest.mark.parametrize("make", [pairs, triplets])
@pytest.mark.parametrize("labels", [np.arange(30), np.zeros(30, dtype=np.int64)])
def test_both_kinds_of_pairs_are_needed(make: Maker, labels: Labels) -> None:
    with pytest.raises(DataError, match="two people"):
        make(labels, seed=0)


@pytest.mark.parametrize("options", [{"rank": 2, "world": 2}, {"seed": -1}, {"world": 5}])
@pytest.mark.parametrize("make", MAKERS)
def test_options_are_checked(make: Maker, options: dict[str, int]) -> None:
    with pytest.raises(OptionError):
        make(LABELS, **{"seed": 0} | options)


@pytest.mark.parametrize(("people", "photos", "most"), [(0, 4, None), (3, 1, None), (3, 4, 3)])
def test_group_sizes_are_checked(people: int, photos: int, most: int | None) -> None:
    with pytest.raises(OptionError):
        PeopleBatches(LABELS, people=people, photos=photos, most=most, seed=0)
