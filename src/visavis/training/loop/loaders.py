"""Loaders of batches from a pack, from any step of any epoch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from visavis.errors import OptionError, TrainingError
from visavis.training.data.pack import Pack


class Batch(NamedTuple):
    """Input of one training step.

    Attributes:
        crops: ``(B, S, S, 3)`` uint8 RGB, at the pack's geometry.
        labels: ``(B,)`` int64, as given to the loader.
        rows: ``(B,)`` int64 rows of the pack.
    """

    crops: Tensor
    labels: Tensor
    rows: Tensor


class BatchSampler(Protocol):
    """Composition of batches, a pure function of the epoch."""

    def batches(self, epoch: int, /) -> Iterator[NDArray[np.int64]]:
        """Index arrays into the loader's `rows`, one a step."""
        ...

    def __len__(self) -> int:
        """Batches in an epoch."""
        ...

    def remined(self, mined: NDArray[np.int64], /) -> BatchSampler:
        """The same sampler that draws from hard examples."""
        ...


class PackLoader:
    """Batches of a pack in a sampler's order, by torch's ``DataLoader``.

    The pack stays a memory map: a batch is copied out of it once, by this process or by workers,
    which open the pack themselves. Workers only change who copies: the batches and their order
    are the same. Without workers a batch of 128 crops of 144 px costs a few milliseconds, so
    workers pay where the disk is slow or the step very short.

    Args:
        pack: an open pack.
        rows: ``(M,)`` rows of the pack that may come, such as the training people's.
        sampler: over ``0..M-1``.
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
        sampler: BatchSampler,
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
        self.rows, self.labels, self.sampler = rows, np.asarray(labels, dtype=np.int64), sampler
        self._pack, self._workers, self._pinned = pack, workers, pinned
        self._steps = _Steps(sampler)
        self._loader: DataLoader[Batch] | None = DataLoader(
            _Crops(pack, rows, self.labels),
            batch_size=None,  # an item is a whole batch
            sampler=self._steps,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=pinned,
            # Forking a process whose torch threads run can hang; reading needs nothing of it.
            multiprocessing_context="spawn" if workers else None,
        )

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        return len(self.sampler)

    def batches(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from step `start` on.

        Resuming is exact: ``batches(e, start=k)`` gives what ``batches(e)`` gives after k steps.
        Nothing is read for the steps passed over. One iteration at a time.

        Raises:
            OptionError: a negative epoch or start, or the loader is closed.
        """
        if self._loader is None:
            raise OptionError("a closed loader", "open another one")
        if epoch < 0 or start < 0:
            raise OptionError(f"epoch {epoch}, step {start}", "give 0 or more for both")
        self._steps.epoch, self._steps.start = epoch, start
        return iter(self._loader)

    def with_sampler(self, sampler: BatchSampler) -> PackLoader:
        """The same rows in another order; this loader is closed."""
        self.close()
        return PackLoader(
            self._pack,
            self.rows,
            sampler,
            labels=self.labels,
            workers=self._workers,
            pinned=self._pinned,
        )

    def close(self) -> None:
        """End the workers, if any."""
        self._loader = None


class _Steps(Sampler[NDArray[np.int64]]):
    """The order of one epoch from one step on."""

    def __init__(self, sampler: BatchSampler) -> None:
        self.sampler, self.epoch, self.start = sampler, 0, 0

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        return islice(self.sampler.batches(self.epoch), self.start, None)

    def __len__(self) -> int:
        return max(0, len(self.sampler) - self.start)


class _Crops(Dataset[Batch]):
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


class StepLoader:
    """The epochs of a loader one after the other: what Lightning iterates over.

    Lightning sees one long epoch, so that a run stopped anywhere goes on at that step: the place
    is saved by the ``state_dict`` interface, and nothing is read of what was passed over.

    Args:
        loader: of one epoch; may be replaced at any time, is asked anew at the start of each epoch
            and of each stretch.
        total: steps of the run.
        stretch: steps after which the loader may change within an epoch; ``None`` for never.
        repeat: epochs after which their batches come again; ``None`` for never.
    """

    def __init__(
        self,
        loader: PackLoader,
        *,
        total: int,
        stretch: int | None = None,
        repeat: int | None = None,
    ) -> None:
        self.loader, self._total, self._stretch = loader, total, stretch or total
        self._repeat = repeat
        self._start = self._step = 0

    def __len__(self) -> int:
        return self._total

    def __iter__(self) -> Iterator[Batch]:
        self._step = self._start
        per_epoch = len(self.loader)
        while self._step < self._total:
            epoch, place = divmod(self._step, per_epoch)
            if self._repeat:
                epoch %= self._repeat
            left = min(
                per_epoch - place,
                self._stretch - self._step % self._stretch,
                self._total - self._step,
            )
            before = self._step
            for batch in islice(self.loader.batches(epoch, start=place), left):
                self._step += 1
                yield batch
            if self._step == before:
                raise TrainingError(
                    f"an epoch that ends after {place} of {per_epoch} batches",
                    "start the run again; data that shrank while it was trained on needs a new run",
                )

    def state_dict(self) -> dict[str, Any]:
        """The number of batches given."""
        return {"step": self._step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Begin after so many batches."""
        self._start = int(state["step"])
