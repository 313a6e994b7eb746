"""All batches of a run as one stream, from any step on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from visavis.errors import TrainingError
from visavis.training.feeding import Batch, Feed


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
