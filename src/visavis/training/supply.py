"""The feed that training draws from, and what mining puts in its place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visavis.training.data.pack import Pack
from visavis.training.data.samplers import Batches, PairBatches, PeopleBatches, TripletBatches
from visavis.training.feeding import Feed


class Supply:
    """A pack's training rows, fed in a sampler's order that mining may change.

    Args:
        pack: the open pack.
        rows: ``(M,)`` training rows.
        labels: ``(M,)`` person of each, 0 to P - 1.
        sampler: over ``0..M-1``.
        workers: processes that read.
        pinned: page-locked batches.
    """

    def __init__(
        self,
        pack: Pack,
        rows: NDArray[np.int64],
        labels: NDArray[np.int64],
        sampler: Batches,
        *,
        workers: int = 0,
        pinned: bool = False,
    ) -> None:
        self._pack, self._workers, self._pinned = pack, workers, pinned
        self.rows, self.labels, self.sampler = rows, labels, sampler
        self.mined: NDArray[np.int64] | None = None
        self._feed = self._open()

    @property
    def feed(self) -> Feed:
        """The feed of the moment."""
        return self._feed

    def use(self, mined: NDArray[np.int64]) -> None:
        """Draw from mined triplets, or from cells of people that look alike, from now on."""
        if isinstance(self.sampler, (PairBatches, PeopleBatches, TripletBatches)):
            self.sampler = self.sampler.remined(mined)
            self.mined = mined
            self._feed.close()
            self._feed = self._open()

    def close(self) -> None:
        """End the workers."""
        self._feed.close()

    def _open(self) -> Feed:
        return Feed(
            self._pack,
            self.rows,
            self.sampler,
            labels=self.labels,
            workers=self._workers,
            pinned=self._pinned,
        )
