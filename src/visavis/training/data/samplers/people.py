"""P people times K photos: batches with mated pairs to mine."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from visavis.errors import OptionError
from visavis.training.data.samplers.batches import Batches, Rows
from visavis.training.data.samplers.cells import checked_cells


class PeopleBatches(Batches):
    """Batches of ``people * photos`` photos in which each person has up to ``photos``.

    In every epoch each photo comes once. A person's photos are dealt afresh into even groups of
    at most ``photos`` (five photos at four a group: three and two); the groups are shuffled and
    cut into batches of one size. So a batch holds at least ``people`` groups, and more where
    people have few photos. People with one photo come too: as negatives of everybody else. At
    each border between two batches one group may be cut in two. A rest too small for a batch
    sits out the epoch.

    Args:
        labels: ``(N,)`` person of each photo.
        people: least number of groups of a batch.
        photos: most photos of a group, at least 2.
        seed: determines the batches, with the epoch.
        most: most photos of a person in one epoch (others in the next); ``None``: all. Keeps a
            few people with hundreds of photos from filling the epoch.
        cells: ``(max(labels) + 1,)`` cell of each person, from
            ``visavis.training.mining.lookalikes``: people of one cell come next to each other.
        rank: share of each batch that this process gets.
        world: number of processes.

    Raises:
        OptionError: fewer than 2 photos a group, or no people.

    Example:
        >>> batches = PeopleBatches(np.array([0, 0, 1, 1, 2, 2]), people=1, photos=2, seed=0)
        >>> all(a // 2 == b // 2 for a, b in batches.batches(0))
        True
    """

    def __init__(
        self,
        labels: NDArray[np.int64],
        *,
        people: int,
        photos: int,
        seed: int,
        most: int | None = None,
        cells: NDArray[np.int64] | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if people < 1 or photos < 2 or (most is not None and most < photos):
            raise OptionError(
                f"{people} people with {photos} photos each, at most {most} an epoch",
                "give 1 person or more, 2 photos or more, and no fewer an epoch than a batch",
            )
        size = people * photos
        super().__init__(labels, batch_size=size, seed=seed, rank=rank, world=world)
        self.people, self.photos, self.most = people, photos, most
        _, self._person, counts = np.unique(self.labels, return_inverse=True, return_counts=True)
        kept = counts if most is None else np.minimum(counts, most)
        # A cap can leave fewer photos than one batch.
        self.batch_size = min(self.batch_size, int(kept.sum()) // world * world)
        self._counts, self._kept = counts, kept
        self._starts = np.cumsum(counts) - counts
        first = np.zeros(counts.size, dtype=np.int64)
        first[self._person] = np.arange(self.labels.size)
        self._cells = None if cells is None else checked_cells(cells, self.labels)[first]

    def remined(self, cells: NDArray[np.int64]) -> Self:
        """The same sampler with other cells of people that look alike."""
        return type(self)(
            self.labels,
            people=self.people,
            photos=self.photos,
            seed=self.seed,
            most=self.most,
            cells=cells,
            rank=self.rank,
            world=self.world,
        )

    def __len__(self) -> int:
        return int(self._kept.sum()) // self.batch_size

    def order(self, epoch: int) -> Rows:
        """Rows of all batches of an epoch, ``(len(self), batch_size)``."""
        rng = self._rng(epoch)
        shuffled = rng.permutation(self.labels.size)
        rows = shuffled[np.argsort(self._person[shuffled], kind="stable")]
        person = self._person[rows]
        place = np.arange(rows.size) - self._starts[person]
        if self.most is not None:
            chosen = place < self.most
            rows, person, place = rows[chosen], person[chosen], place[chosen]
        groups = -(-self._kept // self.photos)
        turn = place * groups[person] // self._kept[person]
        group = (np.cumsum(groups) - groups)[person] + turn
        rows = rows[np.argsort(self._keys(groups, rng)[group], kind="stable")]
        return rows[: len(self) * self.batch_size].reshape(len(self), self.batch_size)

    def _keys(self, groups: Rows, rng: np.random.Generator) -> NDArray[np.float64]:
        """A number to sort each group by: random, or equal for the n-th groups of a cell."""
        if self._cells is None:
            return rng.random(int(groups.sum()))
        person = np.repeat(np.arange(groups.size), groups)
        turn = np.arange(person.size) - (np.cumsum(groups) - groups)[person]
        together = self._cells[person] * (int(groups.max()) + 1) + turn
        distinct, which = np.unique(together, return_inverse=True)
        keys: NDArray[np.float64] = rng.permutation(distinct.size).astype(np.float64)[which]
        return keys
