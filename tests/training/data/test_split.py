"""Validation people are other people, in the share and of the kinds that were asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visavis.errors import DataError, OptionError
from visavis.training.data.split import split_people


@given(
    counts=st.lists(st.integers(1, 5), min_size=3, max_size=60),
    share=st.floats(0.01, 0.6),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None)
def test_people_are_parted(counts: list[int], share: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    labels = np.random.default_rng(seed).permutation(labels)
    several = sum(count > 1 for count in counts)
    wanted = max(round(share * several), 2)
    alone = round(share * (len(counts) - several))
    if several - wanted < 1 or len(counts) - wanted - alone < 2:
        with pytest.raises(DataError):
            split_people(labels, share=share, seed=seed)
        return
    split = split_people(labels, share=share, seed=seed)
    train, validation = split.train_rows.tolist(), split.validation_rows.tolist()
    assert sorted(train + validation) == list(range(len(labels)))
    assert train == sorted(train)
    assert validation == sorted(validation)
    own, held = set(labels[train].tolist()), set(labels[validation].tolist())
    assert not own & held
    assert sum(counts[p] > 1 for p in held) == wanted
    assert sum(counts[p] == 1 for p in held) == alone
    assert len(own) >= 2


def test_the_seed_decides() -> None:
    labels = np.repeat(np.arange(50), 3)
    first = split_people(labels, share=0.2, seed=1).validation_rows
    assert np.array_equal(first, split_people(labels, share=0.2, seed=1).validation_rows)
    assert not np.array_equal(first, split_people(labels, share=0.2, seed=2).validation_rows)
    assert len(first) == 30


def test_the_names_of_labels_do_not_matter() -> None:
    labels = np.repeat(np.arange(50), 3)
    shifted = split_people(labels * 7 - 40, share=0.2, seed=1)
    assert np.array_equal(
        shifted.validation_rows, split_people(labels, share=0.2, seed=1).validation_rows
    )


def test_share_zero_trains_on_everybody() -> None:
    split = split_people([4, 4, 2], share=0, seed=0)
    assert split.train_rows.tolist() == [0, 1, 2]
    assert split.validation_rows.tolist() == []


def test_bad_options_are_refused() -> None:
    with pytest.raises(OptionError, match="share"):
        split_people([0, 1], share=1, seed=0)
    with pytest.raises(OptionError, match="seed -1"):
        split_people([0, 1], share=0.5, seed=-1)
    with pytest.raises(OptionError, match="shape"):
        split_people(np.zeros((2, 2)), share=0.5, seed=0)
    with pytest.raises(DataError, match=r"3.* 2 "):
        split_people([0, 0, 1, 1, 2], share=0.1, seed=0)
    with pytest.raises(DataError, match=r" 4 .* 3 "):
        split_people([0, 0, 1, 1, 2, 2], share=0.1, seed=0)
