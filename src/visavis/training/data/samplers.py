"""Batch samplers: pure functions of seed and epoch.

All samplers take and offer the same (``Batches``); rows index the labels that a sampler was made
from. torch's and pytorch-metric-learning's samplers draw from a global generator, so that a run
could not be resumed exactly with them, and know neither pairs, triplets nor several processes.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Self

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
        rank: which of ``world`` equal shares of each batch this process gets: the shares joined
            in the order of the ranks are the batch of a single process.
        world: number of processes.

    Attributes:
        unit: photos that stay together in a batch (2 for pairs, 3 for triplets).
        batch_size: photos of a batch, of all processes together.
        singles: people with one photo. They are in no mated pair; every sampler says what it does
            with them.

    Raises:
        DataError: no photos, or too few for one batch; pairs and triplets also need two people,
            one of them with two photos.
        OptionError: a size or seed that cannot be, or that the processes cannot share evenly.
    """

    unit: ClassVar[int] = 1

    def __init__(
        self,
        labels: NDArray[np.int64],
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
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
        together = self.unit * world
        if batch_size < together or batch_size % together:
            raise OptionError(
                f"batch size {batch_size} for {world} processes",
                f"give a multiple of {together}: photos come by {self.unit}, for each process "
                "alike",
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

    def __len__(self) -> int:
        """Batches of an epoch; a rest too small for a batch sits out."""
        return self.labels.size // self.batch_size

    def batches(self, epoch: int, *, start: int = 0) -> Iterator[Rows]:
        """This process's share of each batch of an epoch, from the ``start``-th batch on.

        Yields:
            ``(batch_size // world,)`` int64 row numbers.
        """
        share = self.batch_size // self.world
        mine = slice(self.rank * share, (self.rank + 1) * share)
        for batch in self.order(epoch)[start:]:
            yield batch[mine]

    def remined(self, mined: NDArray[np.int64]) -> Self:
        """The same sampler that draws from hard examples; see ``visavis.training.mining.offline``.

        Args:
            mined: ``(T, 3)`` row numbers for ``TripletBatches``; for pairs and people a cell of
                look-alikes per person, ``(max(labels) + 1,)``.

        Raises:
            DataError: they do not fit the labels.
            OptionError: the sampler takes none.
        """
        other = copy.copy(self)
        other._take(mined)
        return other

    def _take(self, mined: NDArray[np.int64]) -> None:
        raise OptionError("hard examples for shuffled batches", "use pairs, people or triplets")

    def _rng(self, epoch: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, epoch])

    def _shaped(self, rows: Rows) -> Rows:
        return rows.ravel()[: len(self) * self.batch_size].reshape(len(self), self.batch_size)

    def _cell_of_rows(self, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        cells, labels = np.asarray(cells, dtype=np.int64), self.labels
        if cells.ndim != 1 or labels.min() < 0 or cells.size <= labels.max():
            raise DataError(
                f"cells of shape {cells.shape} for people {labels.min()} to {labels.max()}",
                "give one cell for each person number",
            )
        return cells[labels]


class ShuffledBatches(Batches):
    """Every photo once an epoch, in random order; people with one photo are classes like others.

    >>> batches = ShuffledBatches(np.array([0, 0, 1, 2]), batch_size=2, seed=0)
    >>> len(batches), sorted(np.concatenate(list(batches.batches(0))).tolist())
    (2, [0, 1, 2, 3])
    """

    def order(self, epoch: int) -> Rows:
        """See ``Batches``."""
        return self._shaped(self._rng(epoch).permutation(self.labels.size))


class NegativeSampler:
    """Draws for photos a photo of another person of the same cell, each equally likely.

    Args:
        labels: ``(N,)`` person of each photo.
        cells: ``(N,)`` cell of each photo, one for all photos of a person.
    """

    def __init__(self, labels: NDArray[np.int64], cells: NDArray[np.int64]) -> None:
        # Rows are sorted by cell and person, so that all draws are made without a loop.
        self._rows = np.lexsort((labels, cells))
        _, person, people = np.unique(labels[self._rows], return_inverse=True, return_counts=True)
        _, cell, sizes = np.unique(cells[self._rows], return_inverse=True, return_counts=True)
        place = np.arange(labels.size)
        first = np.full(people.size, labels.size)
        np.minimum.at(first, person, place)
        self._place, self._person_start, self._person_size, self._cell_start, self._cell_size = (
            np.empty((5, labels.size), dtype=np.int64)
        )
        self._place[self._rows] = place
        self._person_start[self._rows] = first[person]
        self._person_size[self._rows] = people[person]
        self._cell_start[self._rows] = (np.cumsum(sizes) - sizes)[cell]
        self._cell_size[self._rows] = sizes[cell]

    def exist(self, rows: Rows) -> NDArray[np.bool_]:
        """Which of the photos have another person in their cell."""
        others: NDArray[np.bool_] = self._cell_size[rows] > self._person_size[rows]
        return others

    def draw(self, rows: Rows, rng: np.random.Generator) -> Rows:
        """A photo of another person for each photo; each must have one (``exist``)."""
        drawn = rng.integers(0, self._cell_size[rows] - self._person_size[rows])
        drawn += self._cell_start[rows]
        own = self._person_start[rows]
        others: Rows = self._rows[drawn + np.where(drawn >= own, self._person_size[rows], 0)]
        return others

    def draw_mate(self, rows: Rows, rng: np.random.Generator) -> Rows:
        """Another photo of the same person for each photo; each person must have two."""
        drawn = self._person_start[rows] + rng.integers(0, self._person_size[rows] - 1)
        mates: Rows = self._rows[drawn + (drawn >= self._place[rows])]
        return mates

    def mated(self) -> Rows:
        """Rows of the photos whose person has another photo."""
        return np.flatnonzero(self._person_size > 1)


class _Mated(Batches):
    """Common part of pairs and triplets: anchors with a positive and a negative."""

    def __init__(self, labels: NDArray[np.int64], **options: int) -> None:
        super().__init__(labels, **options)
        self._anybody = NegativeSampler(self.labels, np.zeros_like(self.labels))
        self._mated = self._anybody.mated()
        if not self._mated.size or not self._anybody.exist(self._mated[:1]).all():
            raise DataError(
                f"{self.labels.size} photos of {np.unique(self.labels).size} people",
                "give two people or more, one of them with two photos",
            )


class PairBatches(_Mated):
    """Batches whose rows 2k and 2k + 1 are a pair, mated and non-mated ones in turn.

    An epoch has as many photos as the labels. The first of each mated pair is drawn without
    repeats from the photos whose person has another one, its partner evenly from the person's
    others; the first of each non-mated pair without repeats from all photos (so people with one
    photo come here), its partner evenly from all photos of other people. With cells of
    look-alikes (``remined``), every other non-mated pair is of one cell that has two people.

    >>> batch = next(PairBatches(np.array([0, 0, 1, 1]), batch_size=4, seed=0).batches(0))
    >>> (batch[0] // 2 == batch[1] // 2, batch[2] // 2 == batch[3] // 2)
    (np.True_, np.False_)
    """

    unit = 2
    _near: NegativeSampler | None = None

    def _take(self, mined: NDArray[np.int64]) -> None:
        self._near = NegativeSampler(self.labels, self._cell_of_rows(mined))

    def order(self, epoch: int) -> Rows:
        """See ``Batches``."""
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
        return self._shaped(rows)


class TripletBatches(_Mated):
    """Batches whose rows 3k, 3k + 1, 3k + 2 are anchor, positive and negative.

    An epoch has as many photos as the labels. Anchors are drawn without repeats from the photos
    whose person has another one, positives evenly from the person's others, negatives evenly from
    all photos of other people (so people with one photo come as negatives). With mined triplets
    (``remined``), an epoch deals these in random order, each again only after all have come.

    >>> batch = next(TripletBatches(np.array([0, 0, 1]), batch_size=3, seed=0).batches(0))
    >>> sorted(batch[:2].tolist()), batch[2].item()
    ([0, 1], 2)
    """

    unit = 3
    _triplets: Rows | None = None

    def order(self, epoch: int) -> Rows:
        """See ``Batches``."""
        rng = self._rng(epoch)
        number = len(self) * self.batch_size // 3
        if self._triplets is not None:
            return self._shaped(
                self._triplets[drawn_evenly(np.arange(len(self._triplets)), number, rng)]
            )
        anchors = drawn_evenly(self._mated, number, rng)
        positives = self._anybody.draw_mate(anchors, rng)
        return self._shaped(
            np.stack([anchors, positives, self._anybody.draw(anchors, rng)], axis=1)
        )

    def _take(self, mined: NDArray[np.int64]) -> None:
        rows = np.asarray(mined, dtype=np.int64)
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
        self._triplets = rows


class PeopleBatches(Batches):
    """P people times K photos: batches in which each person has up to ``photos``.

    In every epoch each photo comes once. A person's photos are dealt afresh into even groups of
    at most ``photos`` (five photos at four a group: three and two); the groups are shuffled and
    cut into batches of one size. So a batch holds at least ``people`` groups, and more where
    people have few photos. People with one photo come too: as negatives of everybody else. At
    each border between two batches one group may be cut in two. With cells of look-alikes
    (``remined``), people of one cell come next to each other.

    Args:
        labels: ``(N,)`` person of each photo.
        people: least number of groups of a batch.
        photos: most photos of a group, at least 2.
        most: most photos of a person in one epoch (others in the next); ``None``: all. Keeps a
            few people with hundreds of photos from filling the epoch.
        **options: ``seed``, ``rank`` and ``world``, as for ``Batches``.

    Raises:
        OptionError: fewer than 2 photos a group, or no people.

    >>> batches = PeopleBatches(np.array([0, 0, 1, 1, 2, 2]), people=1, photos=2, seed=0)
    >>> all(a // 2 == b // 2 for a, b in batches.batches(0))
    True
    """

    _cells: Rows | None = None

    def __init__(
        self,
        labels: NDArray[np.int64],
        *,
        people: int,
        photos: int,
        most: int | None = None,
        **options: int,
    ) -> None:
        if people < 1 or photos < 2 or (most is not None and most < photos):
            raise OptionError(
                f"{people} people with {photos} photos each, at most {most} an epoch",
                "give 1 person or more, 2 photos or more, and no fewer an epoch than a batch",
            )
        super().__init__(labels, batch_size=people * photos, **options)
        self.photos, self.most = photos, most
        _, self._person, counts = np.unique(self.labels, return_inverse=True, return_counts=True)
        self._kept = counts if most is None else np.minimum(counts, most)
        # A cap can leave fewer photos than one batch.
        self.batch_size = min(self.batch_size, int(self._kept.sum()) // self.world * self.world)
        self._starts = np.cumsum(counts) - counts

    def __len__(self) -> int:
        return int(self._kept.sum()) // self.batch_size

    def _take(self, mined: NDArray[np.int64]) -> None:
        cells = self._cell_of_rows(mined)
        self._cells = np.zeros(self._kept.size, dtype=np.int64)
        self._cells[self._person] = cells

    def order(self, epoch: int) -> Rows:
        """See ``Batches``."""
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
        return self._shaped(rows[np.argsort(self._keys(groups, rng)[group], kind="stable")])

    def _keys(self, groups: Rows, rng: np.random.Generator) -> NDArray[np.float64]:
        """Sort key of each group: random, or shared by the n-th groups of a cell."""
        if self._cells is None:
            return rng.random(int(groups.sum()))
        person = np.repeat(np.arange(groups.size), groups)
        turn = np.arange(person.size) - (np.cumsum(groups) - groups)[person]
        together = self._cells[person] * (int(groups.max()) + 1) + turn
        distinct, which = np.unique(together, return_inverse=True)
        keys: NDArray[np.float64] = rng.permutation(distinct.size).astype(np.float64)[which]
        return keys


def drawn_evenly(rows: Rows, number: int, rng: np.random.Generator) -> Rows:
    """``number`` of the rows in random order, each again only after all have come."""
    rounds = [rng.permutation(rows) for _ in range(-(-number // rows.size))]
    return np.concatenate([rows[:0], *rounds])[:number]
