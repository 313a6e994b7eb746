"""Batches out of a pack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from visavis.errors import OptionError
from visavis.training.data.pack import Pack, write_pack
from visavis.training.loop.loaders import Batch, PackLoader

ROWS = np.array([3, 4, 5, 9, 10, 11, 12, 17, 18, 19], dtype=np.int64)


class Shuffled:
    """Ten items, three a batch, another order in every epoch."""

    def batches(self, epoch: int, /) -> Iterator[NDArray[np.int64]]:
        order = np.random.default_rng(epoch).permutation(len(ROWS))
        yield from (order[i : i + 3] for i in range(0, len(ROWS), 3))

    def __len__(self) -> int:
        return 4

    def remined(self, mined: NDArray[np.int64], /) -> Shuffled:
        return self


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    crops = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)
    path: Path = tmp_path_factory.mktemp("loader") / "small.pack"
    return write_pack(
        path,
        crops,
        np.repeat(np.arange(5), 4),
        [f"p{i}" for i in range(5)],
        [f"p{i // 4}/{i}.jpg" for i in range(20)],
        size=16,
        scale=0.85,
        origin="noise",
    )


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a, b)
        for x, y in zip(one, other, strict=True)
        for a, b in zip(x, y, strict=True)
    )


def test_batches_are_the_rows_that_the_sampler_names(pack: Pack) -> None:
    loader = PackLoader(pack, ROWS, Shuffled())
    assert len(loader) == 4
    for epoch in (0, 1):
        for batch, items in zip(loader.batches(epoch), Shuffled().batches(epoch), strict=True):
            rows = ROWS[items]
            assert batch.crops.dtype == torch.uint8
            np.testing.assert_array_equal(batch.crops, pack.crops[rows])
            np.testing.assert_array_equal(batch.labels, rows // 4)
            np.testing.assert_array_equal(batch.rows, rows)


def test_labels_given_take_the_place_of_the_packs(pack: Pack) -> None:
    dense = np.unique(pack.labels[ROWS], return_inverse=True)[1].astype(np.int64)
    loader = PackLoader(pack, ROWS, Shuffled(), labels=dense)
    for batch, items in zip(loader.batches(2), Shuffled().batches(2), strict=True):
        np.testing.assert_array_equal(batch.labels, dense[items])


@pytest.mark.parametrize("start", range(6))
def test_an_epoch_goes_on_at_any_step(pack: Pack, start: int) -> None:
    loader = PackLoader(pack, ROWS, Shuffled())
    whole = list(loader.batches(3))
    assert same(list(loader.batches(3, start=start)), whole[start:])
    assert same(list(loader.batches(3)), whole)


def test_the_loader_can_be_left_and_entered_again(pack: Pack) -> None:
    loader = PackLoader(pack, ROWS, Shuffled())
    next(loader.batches(0))
    assert same(list(loader.batches(1)), list(PackLoader(pack, ROWS, Shuffled()).batches(1)))


def test_workers_give_the_same_batches(pack: Pack) -> None:
    alone, helped = (
        PackLoader(pack, ROWS, Shuffled()),
        PackLoader(pack, ROWS, Shuffled(), workers=2),
    )
    assert same(list(helped.batches(0)), list(alone.batches(0)))
    # Left in the middle, then another epoch from its second step.
    next(helped.batches(1))
    assert same(list(helped.batches(2, start=1)), list(alone.batches(2, start=1)))
    helped.close()
    with pytest.raises(OptionError, match="closed"):
        helped.batches(0)


def test_batches_are_copies_not_the_map(pack: Pack) -> None:
    batch = next(PackLoader(pack, ROWS, Shuffled()).batches(0))
    row, before = int(batch.rows[0]), pack.crops[batch.rows[0]].copy()
    batch.crops.zero_()
    np.testing.assert_array_equal(pack.crops[row], before)


def test_a_pack_goes_unchanged(pack: Pack) -> None:
    before = pack.path.read_bytes()
    list(PackLoader(pack, ROWS, Shuffled()).batches(0))
    assert pack.path.read_bytes() == before


def test_bad_arguments_are_named(pack: Pack) -> None:
    with pytest.raises(OptionError, match="20 crops"):
        PackLoader(pack, np.array([20]), Shuffled())
    with pytest.raises(OptionError, match=r"2 labels.*10"):
        PackLoader(pack, ROWS, Shuffled(), labels=np.zeros(2, dtype=np.int64))
    with pytest.raises(OptionError, match="-1 workers"):
        PackLoader(pack, ROWS, Shuffled(), workers=-1)
    with pytest.raises(OptionError, match="step -2"):
        PackLoader(pack, ROWS, Shuffled()).batches(0, start=-2)
