"""Callbacks after each step: weight averaging, monitoring, validation, mining.

Lightning's callbacks do not fit an exact resume: its ``WeightAveraging`` also averages the
classifier (an embedding a person) and has no warm-up, ``ModelCheckpoint`` keeps the earlier of two
equally good validations, its validation loop leaves out the last step, and ``EarlyStopping`` reads
what that loop logs.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any, cast

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from visavis.embedding.torch import FaceNetwork
from visavis.training.loop.alarm import CollapseAlarm, examine
from visavis.training.loop.loaders import StepLoader
from visavis.training.loop.logs import History
from visavis.training.loop.module import Step, Training
from visavis.training.loop.progress import Progress, ProgressEvent
from visavis.training.loop.validation import Validation


class Ema(AveragedModel):
    """An exponential moving average of a network, which validates better than its latest weights.

    At its ``n``-th update the mean moves by ``1 - min(decay, (n + 1) / (n + 10))`` toward the
    weights: at the start faster than ``decay`` alone would, so that the random weights of the
    beginning are soon forgotten (TensorFlow's ``num_updates`` rule). Statistics of batch
    normalization are averaged alike; whole numbers are copied.

    Args:
        network: what is averaged.
        decay: in (0, 1), for long runs close to 1.
    """

    def __init__(self, network: FaceNetwork, *, decay: float) -> None:
        super().__init__(network, multi_avg_fn=self._move, use_buffers=True)
        self._decay = decay
        self.requires_grad_(False)
        self.eval()

    @property
    def network(self) -> FaceNetwork:
        """The averaged network, in evaluation mode."""
        return cast(FaceNetwork, self.module)

    def _move(self, average: object, current: object, number: Tensor | int) -> None:
        means, weights = list(average), list(current)  # type: ignore[call-overload]
        if not torch.is_floating_point(means[0]):
            for mean, weight in zip(means, weights, strict=True):
                mean.copy_(weight)
            return
        n = float(number)
        torch._foreach_lerp_(means, weights, 1 - min(self._decay, (n + 1) / (n + 10)))


class Patience:
    """Keeps the best AUC, and counts validations without a better one.

    Args:
        allowed: validations in a row without a gain after which to stop; ``None`` for never.

    Attributes:
        auc: the best so far; NaN before the first.
        step: where it was.
        waited: validations since.

    >>> patience = Patience(2)
    >>> [patience.better(auc, step) for step, auc in enumerate([0.8, 0.9, 0.9, 0.7])]
    [True, True, True, False]
    >>> patience.auc, patience.step, patience.over
    (0.9, 2, True)
    """

    def __init__(self, allowed: int | None) -> None:
        self.allowed = allowed
        self.auc, self.step, self.waited = math.nan, 0, 0

    def better(self, auc: float, step: int) -> bool:
        """Returns whether a validation is the best so far; ties count, as training was longer."""
        self.waited = self.waited + 1 if auc <= self.auc else 0
        if auc < self.auc:
            return False
        self.auc, self.step = auc, step
        return True

    @property
    def over(self) -> bool:
        """Whether to stop."""
        return self.allowed is not None and self.waited >= self.allowed

    def state_dict(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {"auc": self.auc, "step": self.step, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state."""
        self.auc, self.step, self.waited = state["auc"], int(state["step"]), int(state["waited"])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """Step counts and intervals of a run.

    Attributes:
        total: steps of the run.
        per_epoch: steps of an epoch.
        log_every_n_steps: steps between checks of a batch for collapse.
        validate_every_n_steps: ``None`` for no validation.
        images: of a step, all processes together.
        flops: floating point operations of a step.
        peak: operations per second that a large matrix product reaches; NaN where unknown.
    """

    total: int
    per_epoch: int
    log_every_n_steps: int
    validate_every_n_steps: int | None
    images: int
    flops: int
    peak: float


class TrainingMonitor(pl.Callback):
    """Logs, validates, checks for collapse, reports progress, keeps the best network.

    Its state is in the checkpoint, so that a resumed run logs, stops and keeps the same as a run
    that was not killed.

    Args:
        plan: step counts and intervals.
        history: the CSV log, written by the first process beside Lightning's loggers.
        alarm: receives every check and validation.
        patience: when to stop early.
        validate: embeds and compares the validation people.
        keep: called after a validation that is the best so far.
        ema: averaged after each step, if any.
        progress: called at every check.
    """

    state_key = "Watch"  # its name in checkpoints, from former versions

    def __init__(
        self,
        plan: StepPlan,
        *,
        history: History,
        alarm: CollapseAlarm,
        patience: Patience,
        validate: Callable[[], Validation],
        keep: Callable[[], None],
        ema: Ema | None,
        progress: Progress | None,
    ) -> None:
        self._plan, self._history, self._alarm, self.patience = plan, history, alarm, patience
        self._validate, self._keep, self._ema, self._progress = validate, keep, ema, progress
        self._since: list[tuple[Tensor, Tensor]] = []
        self._auc = math.nan
        self._before = 0.0  # seconds of the earlier parts of a resumed run
        self._begun = self._clock = time.perf_counter()
        self._counted = 0

    @property
    def seconds(self) -> float:
        """Since the run began, all its parts together."""
        return self._before + time.perf_counter() - self._begun

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock; a run that had stopped early goes no further."""
        self._begun = self._clock = time.perf_counter()
        if self._ema is not None:
            self._ema.to(pl_module.device)
        if self.patience.over:
            trainer.should_stop = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """See the class."""
        module: Training = pl_module  # type: ignore[assignment]
        if self._ema is not None:
            self._ema.update_parameters(module.network)
        step, last, plan = trainer.global_step, module.last, self._plan
        if last is None:
            return
        self._since.append((last.value.loss, last.value.active))
        self._counted += 1
        row: dict[str, float] = {}
        if step % plan.log_every_n_steps == 0 or step == plan.total:
            row |= self._look(trainer, module, last)
        every = plan.validate_every_n_steps
        if every and (step % every == 0 or step == plan.total):
            row |= self._validated(trainer)
        if row:
            row |= {"epoch": step / plan.per_epoch, "seconds": self.seconds}
            for logger in trainer.loggers:
                logger.log_metrics(row, step)
            if trainer.is_global_zero:
                self._history.log_metrics(row, step)
            if self._progress is not None and trainer.is_global_zero and "loss" in row:
                self._progress(self._event(step, row))

    def state_dict(self) -> dict[str, Any]:
        """State for a checkpoint."""
        state: dict[str, Any] = {
            "since": [[float(loss), float(active)] for loss, active in self._since],
            "auc": self._auc,
            "seconds": self.seconds,
            "alarm": self._alarm.state_dict(),
            "patience": self.patience.state_dict(),
        }
        if self._ema is not None:
            state["ema"] = self._ema.state_dict()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state."""
        self._since = [
            (torch.tensor(loss), torch.tensor(active)) for loss, active in state_dict["since"]
        ]
        self._auc, self._before = state_dict["auc"], state_dict["seconds"]
        self._alarm.load_state_dict(state_dict["alarm"])
        self.patience.load_state_dict(state_dict["patience"])
        if self._ema is not None:
            self._ema.load_state_dict(state_dict["ema"])

    def _look(self, trainer: pl.Trainer, module: Training, last: Step) -> dict[str, float]:
        losses = torch.stack([loss.cpu().double() for loss, _ in self._since])
        active = torch.stack([active.cpu().double() for _, active in self._since])
        self._since.clear()
        health = examine(last.raw, last.labels)
        loss, share = float(losses.mean()), float(active.nanmean())
        now = time.perf_counter()
        steps_per_second = self._counted / max(now - self._clock, 1e-9)
        self._clock, self._counted = now, 0
        self._alarm.look(trainer.global_step, loss=loss, active=share, health=health)
        rate = self._plan.flops * steps_per_second
        rates = {group["name"]: float(group["lr"]) for group in trainer.optimizers[0].param_groups}
        return {
            "loss": loss,
            "active": share,
            # Without mated or non-mated pairs in the batch NaN, not None: loggers take numbers.
            **dataclasses.asdict(health),
            "gradient_norm": float(module.gradient_norm),
            "images_per_second": self._plan.images * steps_per_second,
            "gflops": rate / 1e9,
            "share_of_peak": rate / self._plan.peak,
            "lr": rates.get("network", math.nan),
            "head_lr": rates.get("head", math.nan),
            **{f"loss_{name}": float(value) for name, value in last.value.parts.items()},
        }

    def _validated(self, trainer: pl.Trainer) -> dict[str, float]:
        begun, step = time.perf_counter(), trainer.global_step
        metrics = self._validate().metrics
        self._alarm.validated(step, metrics)
        self._auc = metrics.auc
        if self.patience.better(metrics.auc, step):
            self._keep()
        if self.patience.over:
            trainer.should_stop = True
        self._clock += time.perf_counter() - begun
        return {
            "validation_auc": metrics.auc,
            "validation_mated": metrics.mated,
            "validation_non_mated": metrics.non_mated,
            "validation_rank": metrics.rank,
            **{f"validation_fnmr_{rate}": value for rate, value in metrics.fnmr.items()},
        }

    def _event(self, step: int, row: dict[str, float]) -> ProgressEvent:
        plan = self._plan
        logged = ("loss", "active", "mated", "non_mated", "rank", "lr", "images_per_second")
        return ProgressEvent(
            step=step,
            total=plan.total,
            epochs=plan.total / plan.per_epoch,
            auc=self._auc,
            best_auc=self.patience.auc,
            **{name: row[name] for name in (*logged, "share_of_peak", "epoch", "seconds")},
        )


class HardExampleMining(pl.Callback):
    """Mines hard examples from all training photos at an interval, for the sampler.

    What was found is in the checkpoint: it depends on the weights of then.

    Args:
        steps: whose loader's sampler is changed.
        every: steps between searches.
        mine: the search after a number of steps; gives what ``Batches.remined`` takes.
    """

    state_key = "Remining"  # its name in checkpoints, from former versions

    def __init__(
        self, steps: StepLoader, *, every: int, mine: Callable[[int], NDArray[np.int64]]
    ) -> None:
        self._steps, self._every, self._mine = steps, every, mine
        self._mined: NDArray[np.int64] | None = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Search if it is time."""
        step = trainer.global_step
        if step % self._every == 0 and step < len(self._steps):
            self._use(self._mine(step))

    def state_dict(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {"mined": None if self._mined is None else torch.from_numpy(self._mined)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state."""
        if state_dict["mined"] is not None:
            self._use(np.asarray(state_dict["mined"].numpy(), dtype=np.int64))

    def _use(self, mined: NDArray[np.int64]) -> None:
        self._mined = mined
        loader = self._steps.loader
        self._steps.loader = loader.with_sampler(loader.sampler.remined(mined))
