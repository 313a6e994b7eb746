"""Balanced pairs: as many mated as non-mated."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from visavis.errors import DataError
from visavis.training.data.samplers.batches import Batches, Rows
from visavis.training.data.samplers.cells import Strangers, checked_cells


class PairBatches(Batches):
    """Batches whose rows 2k and 2k + 1 are a pair, mated and non-mated ones in turn.

    An epoch has as many photos as the labels. The first of each mated pair is drawn without
    repeats from the photos whose person has another one, its partner evenly from the person's
    others; the first of each non-mated pair without repeats from all photos (so people with one
    photo come here), its partner evenly from all photos of other people.

    Args:
        labels: ``(N,)`` person of each photo.
        batch_size: photos of a batch (twice its pairs), even, of all processes together.
        seed: determines the pairs, with the epoch.
        cells: ``(max(labels) + 1,)`` cell of each person, from
            ``visavis.training.mining.lookalikes``: every other non-mated pair is of one cell,
            where the cell has two people.
        rank: share of each batch that this process gets, in whole pairs.
        world: number of processes.

    Raises:
        DataError: nobody has two photos, or there is only one person.

    Example:
        >>> batch = next(PairBatches(np.array([0, 0, 1, 1]), batch_size=4, seed=0).batches(0))
        >>> (batch[0] // 2 == batch[1] // 2, batch[2] // 2 == batch[3] // 2)
        (np.True_, np.False_)
    """

    def __init__(
        self,
        labels: NDArray[np.int64],
        *,
        batch_size: int,
        seed: int,
        cells: NDArray[np.int64] | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(labels, batch_size=batch_size, seed=seed, rank=rank, world=world, unit=2)
        self._anybody = Strangers(self.labels, np.zeros_like(self.labels))
        self._near = (
            None if cells is None else Strangers(self.labels, checked_cells(cells, self.labels))
        )
        self._mated = self._anybody.mated()
        if not self._mated.size or not self._anybody.exist(self._mated[:1]).all():
            raise DataError(
                f"{self.labels.size} photos of {np.unique(self.labels).size} people",
                "give two people or more, one of them with two photos: pairs need both kinds",
            )

    def remined(self, cells: NDArray[np.int64]) -> Self:
        """The same sampler with other cells of people that look alike."""
        return type(self)(
            self.labels,
            batch_size=self.batch_size,
            seed=self.seed,
            cells=cells,
            rank=self.rank,
            world=self.world,
        )

    def __len__(self) -> int:
        return self.labels.size // self.batch_size

    def order(self, epoch: int) -> Rows:
        """Rows of all batches of an epoch, ``(len(self), batch_size)``."""
        rng = self._rng(epoch)
        pairs = len(self) * self.batch_size // 2
        rows = np.empty((pairs, 2), dtype=np.int64)
        mated = drawn_evenly(self._mated, -(-pairs // 2), rng)
        rows[::2] = np.stack([mated, self._anybody.draw_mate(mated, rng)], axis=1)
        first = drawn_evenly(np.arange(self.labels.size), pairs // 2, rng)
        second = self._anybody.draw(first, rng)
        if self._near is not None:
            near = np.flatnonzero(self._near.exist(first) & (np.arange(first.size) % 2 == 0))
            second[near] = self._near.draw(first[near], rng)
        rows[1::2] = np.stack([first, second], axis=1)
        return rows.reshape(len(self), self.batch_size)


def drawn_evenly(rows: Rows, number: int, rng: np.random.Generator) -> Rows:
    """``number`` of the rows in random order, each again only after all have come."""
    rounds = [rng.permutation(rows) for _ in range(-(-number // rows.size))]
    return np.concatenate([rows[:0], *rounds])[:number]
