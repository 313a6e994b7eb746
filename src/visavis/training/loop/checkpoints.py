"""Checkpoints from which a killed run goes on, and Ctrl-C between two steps, which writes one."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any, Final, Self

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint


class Interrupt:
    """Takes the first Ctrl-C as a wish to stop; the next one stops at once.

    A step that is broken off leaves weights and optimizer half changed: nothing to go on from
    exactly. So, once a run is ``ready`` for it, the first Ctrl-C only sets ``asked``, and whoever
    stands between two steps writes a checkpoint and raises ``KeyboardInterrupt``. At the end, the
    handler that was there before is put back, whatever became of it meanwhile (Lightning sets one
    that ignores Ctrl-C). Outside the main thread, where no handler can be set, it does nothing.

    Attributes:
        ready: somebody looks at ``asked``; before that, Ctrl-C stops at once.
        asked: Ctrl-C was pressed.
    """

    def __init__(self) -> None:
        self.ready = False
        self.asked = False
        self._before: Any = None
        self._main = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Self:
        if self._main:
            self._before = signal.getsignal(signal.SIGINT)
            if self._before is signal.default_int_handler:
                signal.signal(signal.SIGINT, self._pressed)
        return self

    def __exit__(self, *_: object) -> None:
        if self._main:
            signal.signal(signal.SIGINT, self._before)

    def _pressed(self, number: int, frame: FrameType | None) -> None:
        if self.asked or not self.ready:
            signal.default_int_handler(number, frame)
        self.asked = True


_SECONDS: Final = 60.0
_SHARE: Final = 50.0  # writing takes at most one part in so many of the time


class LastCheckpoint(Checkpoint):
    """Keeps the latest state of the whole run in one file, whole at any time.

    It is written after everything else that a step brings (Lightning calls checkpoint callbacks
    last), to a name beside the file that then takes its place: a run killed while writing still
    has the one before.

    Args:
        path: the file.
        every: steps between checkpoints; ``None`` for one a minute or less often, so that writing
            takes at most 2 % of the time.
        always: steps at whose multiples one is written in any case: validations.
        look: steps between decisions by the clock.
        interrupt: where it was asked to stop, one is written and ``KeyboardInterrupt`` raised. Of
            several processes, each would be asked at another step: they stop at once.
    """

    def __init__(
        self,
        path: Path,
        *,
        every: int | None,
        always: int | None,
        look: int,
        interrupt: Interrupt,
    ) -> None:
        self._path, self._every, self._always, self._look = path, every, always, look
        self._interrupt = interrupt
        self._saved = time.monotonic()
        self._pause = _SECONDS

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._saved = time.monotonic()
        self._interrupt.ready = trainer.world_size == 1

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Write one if it is time, or if the run is to stop."""
        if self._interrupt.asked or self._due(trainer):
            self.save(trainer)
        if self._interrupt.asked:
            raise KeyboardInterrupt

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """From here, Ctrl-C stops at once again."""
        self._interrupt.ready = False

    def save(self, trainer: pl.Trainer) -> None:
        """Write one; all processes call it together."""
        begun = time.monotonic()
        partial = self._path.with_name(f"{self._path.name}.partial")
        trainer.save_checkpoint(partial)
        if trainer.is_global_zero:
            partial.chmod(0o600)  # a head holds a template of each person
            partial.replace(self._path)
        self._saved = time.monotonic()
        self._pause = max(_SECONDS, _SHARE * (self._saved - begun))

    def _due(self, trainer: pl.Trainer) -> bool:
        step = trainer.global_step
        last = step >= trainer.num_training_batches or trainer.should_stop
        if last or (self._always and step % self._always == 0):
            return True
        if self._every is not None:
            return step % self._every == 0
        if step % self._look:
            return False
        late = time.monotonic() - self._saved > self._pause
        return bool(trainer.strategy.broadcast(late)) if trainer.world_size > 1 else late
