"""What the samplers share: checks, the size of a batch, and each process's share of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from visavis.errors import DataError, OptionError

Rows = NDArray[np.int64]


class Batches(ABC):
    """Batches of row numbers, all of one size.

    Args:
        labels: ``(N,)`` integers, the person of each photo; need not be sorted or contiguous.
        batch_size: photos of a batch, of all processes together. Fewer photos than that: all of
            them are one batch.
        seed: not negative; together with the epoch it determines every batch.
        rank: which of ``world`` equal shares of each batch this process gets.
        world: number of processes.
        unit: photos that stay together in a batch (2 for pairs, 3 for triplets).

    Attributes:
        batch_size: photos of a batch, of all processes together.
        singles: people with one photo. They are in no mated pair; every sampler says what it does
            with them.

    Raises:
        DataError: no photos, or too few for one batch.
        OptionError: a size or seed that cannot be, or that the processes cannot share evenly.
    """

    def __init__(
        self,
        labels: NDArray[np.int64],
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        unit: int = 1,
    ) -> None:
        self.labels = np.asarray(labels, dtype=np.int64)
        if self.labels.ndim != 1 or self.labels.size == 0:
            raise DataError(
                f"labels of shape {self.labels.shape}", "give one person number for each photo"
            )
        if not 0 <= rank < world:
            raise OptionError(f"rank {rank} of {world} processes", "give 0 <= rank < world")
        if seed < 0:
            raise OptionError(f"seed {seed}", "give a seed of 0 or more")
        together = unit * world
        if batch_size < together or batch_size % together:
            raise OptionError(
                f"batch size {batch_size} for {world} processes",
                f"give a multiple of {together}: photos come by {unit}, for each process alike",
            )
        self.batch_size = min(batch_size, self.labels.size // together * together)
        if not self.batch_size:
            raise DataError(
                f"{self.labels.size} photos", f"give {together} or more: they make one batch"
            )
        self.seed, self.rank, self.world = seed, rank, world
        _, counts = np.unique(self.labels, return_counts=True)
        self.singles = int((counts == 1).sum())

    @abstractmethod
    def order(self, epoch: int) -> Rows:
        """Rows of all batches of an epoch, ``(len(self), batch_size)``, of all processes."""

    @abstractmethod
    def __len__(self) -> int:
        """Batches of an epoch."""

    def batches(self, epoch: int, *, start: int = 0) -> Iterator[Rows]:
        """This process's share of each batch of an epoch, from the ``start``-th batch on.

        Yields:
            ``(batch_size // world,)`` int64 row numbers.
        """
        share = self.batch_size // self.world
        mine = slice(self.rank * share, (self.rank + 1) * share)
        for batch in self.order(epoch)[start:]:
            yield batch[mine]

    def _rng(self, epoch: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, epoch])
