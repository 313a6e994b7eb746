"""Checkpoints, exact resume, and Ctrl-C between two steps."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from types import FrameType
from typing import Any, Final, Self

import lightning.pytorch as pl
import msgspec
import torch
from lightning.pytorch.callbacks import Checkpoint

from visavis.errors import DataError, TrainingError
from visavis.training.data.pack import Pack
from visavis.training.fields import read_json
from visavis.training.recipes.recipe import Recipe, with_current_names
from visavis.types import Record
from visavis.weights import model_directory as names
from visavis.writing import private_folder, replacing


class Interrupt:
    """Defers the first Ctrl-C to the end of the step; the second one stops at once.

    An interrupted step leaves weights and optimizer partly updated, so a run could not resume
    exactly. So, once a run is ``ready``, the first Ctrl-C only sets ``asked``; the training loop
    checks it between steps, writes a checkpoint and raises ``KeyboardInterrupt``. At the end the
    earlier signal handler is restored, even if it was replaced meanwhile (Lightning sets one that
    ignores Ctrl-C). Outside the main thread, where no handler can be set, it does nothing.

    Attributes:
        ready: the loop checks ``asked``; before that, Ctrl-C stops at once.
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
    """Keeps the latest state of the run in one file, replaced atomically.

    It is written after everything else that a step brings (Lightning calls checkpoint callbacks
    last), to a name beside the file that then takes its place: a run killed while writing still
    has the one before.

    Args:
        path: the file.
        every: steps between checkpoints; ``None`` for one per minute or less often, so that writing
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
        """Restores the default Ctrl-C."""
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


_FREE: Final = frozenset({"threads", "workers", "name", "source", "expected", "blend"})
"""Fields that no step of training depends on. A finished run can be blended anew."""

_REMEDY: Final = "resume with the recipe and data it began with, or name another folder"


@dataclass(frozen=True, slots=True)
class RunDescription(Record):
    """Content of ``run.json``.

    Attributes:
        recipe: all settings.
        data: fingerprint of the pack.
        computed_in: ``32`` or ``bf16``; ``None`` in files of early versions.
    """

    recipe: dict[str, Any]
    data: str
    computed_in: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """The folder of a run.

    Attributes:
        folder: what ``fit`` was given.
    """

    folder: Path

    @property
    def description(self) -> Path:
        """Recipe and data of the run."""
        return self.folder / "run.json"

    @property
    def history(self) -> Path:
        """The CSV log."""
        return self.folder / "history.csv"

    @property
    def last(self) -> Path:
        """The latest checkpoint: everything that resuming needs."""
        return self.folder / "checkpoints" / "last.ckpt"

    @property
    def best(self) -> Path:
        """The network of the best validation, averaged weights if any."""
        return self.folder / "checkpoints" / "best.safetensors"

    def begin(
        self, recipe: Recipe, pack: Pack, *, resume: bool, computed_in: str | None = None
    ) -> Path | None:
        """Prepare the folder.

        Args:
            recipe: of this run.
            pack: its data.
            resume: go on from the latest checkpoint, if there is one.
            computed_in: the precision that this device has for the recipe.

        Returns:
            The checkpoint to go on from; ``None`` for a new run.

        Raises:
            TrainingError: there is a run already and ``resume`` is not set, or it had another
                recipe or other data, or was computed in another precision.
        """
        private_folder(self.folder)
        private_folder(self.last.parent)
        about = RunDescription(recipe.to_dict(), pack.fingerprint, computed_in or recipe.precision)
        self.refuse_another(resume=resume)
        if self.last.exists():
            self._compare(about)
            return self.last
        with replacing(self.description) as temporary:
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(about)) + b"\n")
        return None

    def refuse_another(self, *, resume: bool) -> None:
        """Refuse to overwrite a run.

        Raises:
            TrainingError: there is one, and ``resume`` is not set or its checkpoint was erased.
        """
        if self.last.exists():
            if not resume:
                raise TrainingError(
                    f"{self.folder} holds a training run", "resume it, or name another folder"
                )
        elif (self.folder / names.INSIDE_RUN / names.DESCRIPTION).is_file():
            raise TrainingError(
                f"{self.folder} holds a finished run without its checkpoint", "name another folder"
            )

    def _compare(self, now: RunDescription) -> None:
        try:
            then = read_json(self.description, RunDescription, _REMEDY)
        except DataError as error:
            raise TrainingError(str(error), _REMEDY) from error
        if then.data != now.data:
            raise TrainingError(f"{self.folder}: the run had other data", _REMEDY)
        if then.computed_in not in {None, now.computed_in}:
            raise TrainingError(
                f"{self.folder}: the run was computed in precision {then.computed_in}, this device "
                f"would go on in {now.computed_in}",
                "resume it on a device like that one, or begin anew in another folder",
            )
        # A field that came with a later version had its default then.
        defaults = {f.name: f.default for f in fields(Recipe) if f.default is not MISSING}
        before = {**defaults, **with_current_names(then.recipe)}
        changed = [
            f"{field} {before.get(field)!r} then, {value!r} now"
            for field, value in now.recipe.items()
            if field not in _FREE and before.get(field) != value
        ]
        if changed:
            raise TrainingError(
                f"{self.folder}: the run had another recipe ({'; '.join(changed)})", _REMEDY
            )


def steps_done(checkpoint: Path) -> int:
    """Number of steps done at a checkpoint.

    Raises:
        TrainingError: the file is damaged.
    """
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        return int(state["global_step"])
    except (OSError, RuntimeError, KeyError, ValueError, EOFError) as error:
        raise TrainingError(
            f"{checkpoint} cannot be read", "remove it to begin anew, or name another folder"
        ) from error
