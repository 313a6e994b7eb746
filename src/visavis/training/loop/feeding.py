"""From a pack on disk to batches in memory, at any place of any epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from visavis.errors import OptionError, TrainingError
from visavis.training.data.pack import Pack
from visavis.training.data.samplers import Batches, PairBatches, PeopleBatches, TripletBatches


class Batch(NamedTuple):
    """What one step of training gets.

    Attributes:
        crops: ``(B, S, S, 3)`` uint8 RGB, at the pack's geometry.
        labels: ``(B,)`` int64, as given to the feed.
        rows: ``(B,)`` int64 rows of the pack.
    """

    crops: Tensor
    labels: Tensor
    rows: Tensor


class BatchOrder(Protocol):
    """A sampler: which items come together, a pure function of the epoch."""

    def batches(self, epoch: int, /) -> Iterator[NDArray[np.int64]]:
        """Index arrays into the feed's `rows`, one a step."""
        ...

    def __len__(self) -> int:
        """Batches in an epoch."""
        ...


class Feed:
    """Batches of a pack in a sampler's order.

    The pack stays a memory map: a batch is copied out of it once, by this process or by workers,
    which open the pack themselves. Workers only change who copies: the batches and their order
    are the same. Without workers a batch of 128 crops of 144 px costs a few milliseconds, so
    workers pay where the disk is slow or the step very short.

    Args:
        pack: an open pack.
        rows: ``(M,)`` rows of the pack that may come, such as the training people's.
        order: sampler over ``0..M-1``.
        labels: ``(M,)`` int64 of the rows; the pack's by default. Give dense ones (0 to P-1)
            where a classifier is trained on some of the pack's people.
        workers: processes that read ahead; 0 reads in this one.
        pinned: page-locked batches, for copies to a GPU in the background.

    Raises:
        OptionError: rows that the pack lacks, labels of another length, negative workers.
    """

    def __init__(
        self,
        pack: Pack,
        rows: NDArray[np.int64],
        order: BatchOrder,
        *,
        labels: NDArray[np.int64] | None = None,
        workers: int = 0,
        pinned: bool = False,
    ) -> None:
        rows = np.asarray(rows, dtype=np.int64)
        if rows.ndim != 1 or (rows.size and (rows.min() < 0 or rows.max() >= len(pack.labels))):
            raise OptionError(
                f"rows outside the pack's {len(pack.labels)} crops", "give rows of this pack"
            )
        if labels is None:
            labels = pack.labels[rows]
        if labels.shape != rows.shape:
            raise OptionError(
                f"{labels.size} labels for {rows.size} rows", "give one label for every row"
            )
        if workers < 0:
            raise OptionError(f"{workers} workers", "give 0 or more")
        self._order = order
        self._place = _Place(order)
        self._loader: DataLoader[Batch] | None = DataLoader(
            _Reader(pack, rows, np.asarray(labels, dtype=np.int64)),
            batch_size=None,  # an item is a whole batch
            sampler=self._place,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=pinned,
            # Forking a process whose torch threads run can hang; reading needs nothing of it.
            multiprocessing_context="spawn" if workers else None,
        )

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        return len(self._order)

    def batches(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from step `start` on.

        Resuming is exact: ``batches(e, start=k)`` gives what ``batches(e)`` gives after k steps.
        Nothing is read for the steps passed over. One iteration at a time.

        Raises:
            OptionError: a negative epoch or start, or the feed is closed.
        """
        if self._loader is None:
            raise OptionError("a closed feed", "open another one")
        if epoch < 0 or start < 0:
            raise OptionError(f"epoch {epoch}, step {start}", "give 0 or more for both")
        self._place.epoch, self._place.start = epoch, start
        return iter(self._loader)

    def close(self) -> None:
        """End the workers, if any."""
        self._loader = None


class _Place(Sampler[NDArray[np.int64]]):
    """The order of one epoch from one step on."""

    def __init__(self, order: BatchOrder) -> None:
        self.order = order
        self.epoch = 0
        self.start = 0

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        return islice(self.order.batches(self.epoch), self.start, None)

    def __len__(self) -> int:
        return max(0, len(self.order) - self.start)


class _Reader(Dataset[Batch]):
    """Copies the crops of a batch out of the pack."""

    def __init__(self, pack: Pack, rows: NDArray[np.int64], labels: NDArray[np.int64]) -> None:
        self.pack, self.rows, self.labels = pack, rows, labels

    def __getitem__(self, items: NDArray[np.int64]) -> Batch:
        rows = self.rows[items]
        # Advanced indexing copies; from here on nothing is shared with the map.
        return Batch(
            torch.from_numpy(np.asarray(self.pack.crops[rows])),
            torch.from_numpy(self.labels[items]),
            torch.from_numpy(rows),
        )


class StepStream:
    """The epochs of a feed one after the other: what Lightning iterates over.

    Lightning sees one long epoch, so that a run stopped anywhere goes on at that step: the stream
    saves its place by the ``state_dict`` interface and reads nothing of what was passed over.

    Args:
        feed: gives the feed; asked anew at the start of each epoch and of each stretch, so that
            mining may have put another one there.
        per_epoch: steps of an epoch.
        total: steps of the run.
        stretch: steps after which the feed may change within an epoch; ``None`` for never.
    """

    def __init__(
        self,
        feed: Callable[[], Feed],
        *,
        per_epoch: int,
        total: int,
        stretch: int | None = None,
    ) -> None:
        self._feed, self._per_epoch, self._total = feed, per_epoch, total
        self._stretch = stretch or total
        self._start = 0
        self._step = 0

    def __len__(self) -> int:
        return self._total

    def __iter__(self) -> Iterator[Batch]:
        self._step = self._start
        while self._step < self._total:
            epoch, place = divmod(self._step, self._per_epoch)
            left = min(
                self._per_epoch - place,
                self._stretch - self._step % self._stretch,
                self._total - self._step,
            )
            before = self._step
            for batch in islice(self._feed().batches(epoch, start=place), left):
                self._step += 1
                yield batch
            if self._step == before:
                raise TrainingError(
                    f"an epoch that ends after {place} of {self._per_epoch} batches",
                    "start the run again; data that shrank while it was trained on needs a new run",
                )

    def state_dict(self) -> dict[str, Any]:
        """The number of batches given."""
        return {"step": self._step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Begin after so many batches."""
        self._start = int(state["step"])


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
