"""Anchor, positive, negative: drawn at random, or mined beforehand."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from visavis.errors import DataError
from visavis.training.data.samplers.batches import Batches, Rows
from visavis.training.data.samplers.cells import Strangers
from visavis.training.data.samplers.pairs import drawn_evenly


class TripletBatches(Batches):
    """Batches whose rows 3k, 3k + 1, 3k + 2 are anchor, positive and negative.

    An epoch has as many photos as the labels. Without ``triplets``, anchors are drawn without
    repeats from the photos whose person has another one, positives evenly from the person's
    others, negatives evenly from all photos of other people (so people with one photo come as
    negatives). With ``triplets``, an epoch deals these in random order, each again only after all
    have come.

    Args:
        labels: ``(N,)`` person of each photo.
        batch_size: photos of a batch (three times its triplets), of all processes together.
        seed: determines the triplets, with the epoch.
        triplets: ``(T, 3)`` row numbers, from ``visavis.training.mining.offline``.
        rank: share of each batch that this process gets, in whole triplets.
        world: number of processes.

    Raises:
        DataError: nobody has two photos, there is only one person, or a given triplet is none.

    Example:
        >>> batch = next(TripletBatches(np.array([0, 0, 1]), batch_size=3, seed=0).batches(0))
        >>> sorted(batch[:2].tolist()), batch[2].item()
        ([0, 1], 2)
    """

    def __init__(
        self,
        labels: NDArray[np.int64],
        *,
        batch_size: int,
        seed: int,
        triplets: NDArray[np.int64] | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(labels, batch_size=batch_size, seed=seed, rank=rank, world=world, unit=3)
        self._strangers = Strangers(self.labels, np.zeros_like(self.labels))
        self._mated = self._strangers.mated()
        if not self._mated.size or not self._strangers.exist(self._mated[:1]).all():
            raise DataError(
                f"{self.labels.size} photos of {np.unique(self.labels).size} people",
                "give two people or more, one of them with two photos: triplets need both",
            )
        self._triplets = None if triplets is None else self._checked(triplets)

    def remined(self, triplets: NDArray[np.int64]) -> Self:
        """The same sampler with these triplets instead of its own."""
        return type(self)(
            self.labels,
            batch_size=self.batch_size,
            seed=self.seed,
            triplets=triplets,
            rank=self.rank,
            world=self.world,
        )

    def __len__(self) -> int:
        return self.labels.size // self.batch_size

    def order(self, epoch: int) -> Rows:
        """Rows of all batches of an epoch, ``(len(self), batch_size)``."""
        rng = self._rng(epoch)
        number = len(self) * self.batch_size // 3
        if self._triplets is not None:
            rows = self._triplets[drawn_evenly(np.arange(len(self._triplets)), number, rng)]
        else:
            anchors = drawn_evenly(self._mated, number, rng)
            positives = self._strangers.draw_mate(anchors, rng)
            rows = np.stack([anchors, positives, self._strangers.draw(anchors, rng)], axis=1)
        return rows.reshape(len(self), self.batch_size)

    def _checked(self, triplets: NDArray[np.int64]) -> Rows:
        rows = np.asarray(triplets, dtype=np.int64)
        if rows.ndim != 2 or rows.shape[1:] != (3,) or not rows.size:
            raise DataError(f"triplets of shape {rows.shape}", "give (T, 3) row numbers, T >= 1")
        if rows.min() < 0 or rows.max() >= self.labels.size:
            raise DataError(
                f"triplet rows {rows.min()} to {rows.max()} for {self.labels.size} photos",
                "mine the triplets from these very photos",
            )
        anchor, positive, negative = self.labels[rows].T
        wrong = (anchor != positive) | (anchor == negative) | (rows[:, 0] == rows[:, 1])
        if wrong.any():
            raise DataError(
                f"triplet {np.flatnonzero(wrong)[0]} of {len(rows)}",
                "give anchor, another photo of the same person, and one of another person",
            )
        return rows
