"""Progress events of a run, and a progress line on the terminal."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from visavis.types import Record

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar


@dataclass(frozen=True, slots=True)
class ProgressEvent(Record):
    """The state of a run after some step.

    Attributes:
        step: steps done.
        total: steps of the run.
        epoch: epochs done, with fraction.
        epochs: epochs of the run.
        loss: mean over the steps since the last event.
        active: share of active triplets or pairs, alike; NaN where the loss has none.
        mated: mean score of the batch's mated pairs; NaN without such.
        non_mated: mean score of its non-mated pairs; NaN without such.
        rank: effective rank of the batch's embeddings.
        lr: learning rate of the network.
        images_per_second: since the last event, validation not counted.
        share_of_peak: floating point operations per second of the network's training, as a share of
            what a large matrix product reaches on this device.
        auc: of the latest validation; NaN before the first.
        best_auc: the best so far; NaN before the first.
        seconds: since the run began, all its parts together.
    """

    step: int
    total: int
    epoch: float
    epochs: float
    loss: float
    active: float
    mated: float
    non_mated: float
    rank: float
    lr: float
    images_per_second: float
    share_of_peak: float
    auc: float
    best_auc: float
    seconds: float


Progress = Callable[[ProgressEvent], None]
"""Called in the first process every few steps."""


def line(event: ProgressEvent) -> str:
    """Formats a progress event; omits missing values.

    >>> nan = float("nan")
    >>> values = (5, 10, 1.0, 2, 0.25, nan, 0.5, 0.125, 9.5, 0.1, 400.0, nan, nan, nan, 2.0)
    >>> line(ProgressEvent(*values))
    'loss 0.250  mated 0.50  non-mated 0.12  rank 9.5  400 images/s'
    """
    parts = (
        ("loss {:.3f}", event.loss),
        ("active {:.0%}", event.active),
        ("mated {:.2f}", event.mated),
        ("non-mated {:.2f}", event.non_mated),
        ("rank {:.1f}", event.rank),
        ("validation AUC {:.4f}", event.auc),
        ("{:.0f} images/s", event.images_per_second),
    )
    return "  ".join(text.format(value) for text, value in parts if not math.isnan(value))


class LiveLine:
    """A progress line on a terminal: ``with LiveLine(console) as live: fit(..., progress=live)``.

    Args:
        console: rich's; give one that writes to stderr. Where it is no terminal, a plain line is
            written every ``every`` seconds of training instead.
        every: seconds between plain lines.
    """

    def __init__(self, console: Console, *, every: float = 30.0) -> None:
        self._console, self._every = console, every
        self._bar: Bar | None = None
        self._shown = -math.inf

    def __enter__(self) -> Self:
        return self

    def __call__(self, event: ProgressEvent) -> None:
        """Show an event."""
        epoch = f"{event.epoch:.1f}/{event.epochs:.3g}"
        if self._bar is None and self._console.is_terminal:
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("epoch {task.fields[epoch]}"),
                BarColumn(bar_width=16),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
                console=self._console,
            )
            self._bar.add_task("starting", total=None, epoch="0")
            self._bar.start()
        if self._bar is not None:
            self._bar.update(
                self._bar.task_ids[0],
                description=line(event),
                total=event.total,
                completed=event.step,
                epoch=epoch,
            )
        elif event.seconds - self._shown >= self._every or event.step == event.total:
            self._shown = event.seconds
            self._console.print(f"epoch {epoch}  {line(event)}", highlight=False)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
