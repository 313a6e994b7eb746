"""Every photo once an epoch, in random order: for losses that classify."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visavis.training.data.samplers.batches import Batches, Rows


class ShuffledBatches(Batches):
    """All photos shuffled and cut into batches; a rest too small for a batch sits out the epoch.

    People with one photo are classes like others.

    Args:
        labels: ``(N,)`` person of each photo.
        batch_size: photos of a batch, of all processes together.
        seed: determines the order, with the epoch.
        rank: share of each batch that this process gets.
        world: number of processes.

    Example:
        >>> batches = ShuffledBatches(np.array([0, 0, 1, 2]), batch_size=2, seed=0)
        >>> len(batches), sorted(np.concatenate(list(batches.batches(0))).tolist())
        (2, [0, 1, 2, 3])
    """

    def __init__(
        self,
        labels: NDArray[np.int64],
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(labels, batch_size=batch_size, seed=seed, rank=rank, world=world)

    def __len__(self) -> int:
        return self.labels.size // self.batch_size

    def order(self, epoch: int) -> Rows:
        """Rows of all batches of an epoch, ``(len(self), batch_size)``."""
        rows = self._rng(epoch).permutation(self.labels.size)
        return rows[: len(self) * self.batch_size].reshape(len(self), self.batch_size)
