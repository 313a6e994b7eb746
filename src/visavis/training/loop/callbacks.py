"""The running mean of the network's weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from visavis.embedding.torch import FaceNetwork
from visavis.training.loop.alarm import CollapseAlarm, examine
from visavis.training.loop.feeding import Supply
from visavis.training.loop.module import Step, Training
from visavis.training.loop.progress import Moment, Progress
from visavis.training.loop.validation import Validation


class Ema(AveragedModel):
    """An exponential moving average of a network, which validates better than its latest weights.

    At its ``n``-th update the mean moves by ``1 - min(decay, (n + 1) / (n + 10))`` toward the
    weights: at the start faster than ``decay`` alone would, so that the random weights of the
    beginning are soon forgotten (TensorFlow's ``num_updates`` rule). Statistics of batch
    normalization are averaged alike; whole numbers are copied.

    ``update_parameters(network)`` after each step; ``network`` is the averaged one, its own
    copy in evaluation mode; ``state_dict`` holds all there is to resume.

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
        """The averaged network."""
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
        """Whether a validation is the best so far, or as good: it has learned longer."""
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
        """To go on from."""
        return {"auc": self.auc, "step": self.step, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on."""
        self.auc, self.step, self.waited = state["auc"], int(state["step"]), int(state["waited"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When things happen, and what a step is worth.

    Attributes:
        total: steps of the run.
        per_epoch: steps of an epoch.
        look: steps between looks at the health of a batch.
        validate: steps between validations; ``None`` for none.
        batch: images of a step, all processes together.
        flops: floating point operations of a step.
        peak: operations a second that a large matrix product reaches; NaN where unknown.
    """

    total: int
    per_epoch: int
    look: int
    validate: int | None
    batch: int
    flops: int
    peak: float


class Watch(pl.Callback):
    """Looks at the run every few steps: alarm, log and live line; validates; keeps the best.

    All it knows is in the checkpoint, so that a resumed run logs, stops and keeps what the run
    would have done that was not killed.

    Args:
        pace: when.
        alarm: told of every look and validation.
        patience: when to stop early.
        validate: embeds and compares the validation people.
        keep: called after a validation that is the best so far.
        ema: averaged after each step, if any.
        progress: told of every look.
    """

    def __init__(
        self,
        pace: Pace,
        *,
        alarm: CollapseAlarm,
        patience: Patience,
        validate: Callable[[], Validation],
        keep: Callable[[], None],
        ema: Ema | None,
        progress: Progress | None,
    ) -> None:
        self._pace, self._alarm, self._patience = pace, alarm, patience
        self._validate, self._keep, self._ema, self._progress = validate, keep, ema, progress
        self._since: list[tuple[Tensor, Tensor]] = []
        self._auc = math.nan
        self._before = 0.0  # seconds of the earlier parts of a resumed run
        self._begun = self._clock = time.perf_counter()
        self._counted = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock; a run that had stopped early goes no further."""
        self._begun = self._clock = time.perf_counter()
        if self._ema is not None:
            self._ema.to(pl_module.device)
        if self._patience.over:
            trainer.should_stop = True

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """See the class."""
        module: Training = pl_module  # type: ignore[assignment]
        if self._ema is not None:
            self._ema.update_parameters(module.network)
        step, last = trainer.global_step, module.last
        if last is None:
            return
        self._since.append((last.value.loss, last.value.active))
        self._counted += 1
        pace = self._pace
        row: dict[str, float] = {}
        if step % pace.look == 0 or step == pace.total:
            row |= self._look(trainer, module, last)
        if pace.validate and (step % pace.validate == 0 or step == pace.total):
            row |= self._validated(trainer)
        if row:
            row["epoch"] = step / pace.per_epoch
            row["seconds"] = self.seconds
            for logger in trainer.loggers:
                logger.log_metrics(row, step)
            if self._progress is not None and trainer.is_global_zero and "loss" in row:
                self._tell(step, row)

    def state_dict(self) -> dict[str, Any]:
        """To go on from."""
        state: dict[str, Any] = {
            "since": [[float(loss), float(active)] for loss, active in self._since],
            "auc": self._auc,
            "seconds": self.seconds,
            "alarm": self._alarm.state_dict(),
            "patience": self._patience.state_dict(),
        }
        if self._ema is not None:
            state["ema"] = self._ema.state_dict()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on."""
        self._since = [
            (torch.tensor(loss), torch.tensor(active)) for loss, active in state_dict["since"]
        ]
        self._auc, self._before = state_dict["auc"], state_dict["seconds"]
        self._alarm.load_state_dict(state_dict["alarm"])
        self._patience.load_state_dict(state_dict["patience"])
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
        rate = self._pace.flops * steps_per_second
        rates = {group["name"]: float(group["lr"]) for group in trainer.optimizers[0].param_groups}
        return {
            "loss": loss,
            "active": share,
            "mated": health.mated,
            "non_mated": health.non_mated,
            "rank": health.rank,
            "gradient_norm": float(module.gradient_norm),
            "images_per_second": self._pace.batch * steps_per_second,
            "gflops": rate / 1e9,
            "share_of_peak": rate / self._pace.peak,
            "lr": rates.get("network", math.nan),
            "head_lr": rates.get("head", math.nan),
            **{f"loss_{name}": float(value) for name, value in last.value.parts.items()},
        }

    def _validated(self, trainer: pl.Trainer) -> dict[str, float]:
        begun = time.perf_counter()
        metrics = self._validate().metrics
        step = trainer.global_step
        self._alarm.validated(step, metrics)
        self._auc = metrics.auc
        if self._patience.better(metrics.auc, step):
            self._keep()
        if self._patience.over:
            trainer.should_stop = True
        self._clock += time.perf_counter() - begun
        return {
            "validation_auc": metrics.auc,
            "validation_mated": metrics.mated,
            "validation_non_mated": metrics.non_mated,
            "validation_rank": metrics.rank,
            **{f"validation_fnmr_{rate}": value for rate, value in metrics.fnmr.items()},
        }

    def _tell(self, step: int, row: dict[str, float]) -> None:
        pace = self._pace
        if self._progress is None:
            return
        self._progress(
            Moment(
                step=step,
                total=pace.total,
                epoch=step / pace.per_epoch,
                epochs=pace.total / pace.per_epoch,
                loss=row["loss"],
                active=row["active"],
                mated=row["mated"],
                non_mated=row["non_mated"],
                rank=row["rank"],
                lr=row["lr"],
                images_per_second=row["images_per_second"],
                share_of_peak=row["share_of_peak"],
                auc=self._auc,
                best_auc=self._patience.auc,
                seconds=row["seconds"],
            )
        )

    @property
    def seconds(self) -> float:
        """Since the run began, all its parts together."""
        return self._before + time.perf_counter() - self._begun


class Remining(pl.Callback):
    """Embeds the training photos, mines, and lets the sampler draw from what was found.

    What was found is in the checkpoint: it depends on the weights of then.

    Args:
        supply: whose sampler is changed.
        every: steps between searches.
        total: steps of the run.
        mine: the search: triplets or cells, as the sampler takes them, after a number of steps;
            ``None`` if nothing was found.
    """

    def __init__(
        self,
        supply: Supply,
        *,
        every: int,
        total: int,
        mine: Callable[[int], NDArray[np.int64] | None],
    ) -> None:
        self._supply, self._every, self._total, self._mine = supply, every, total, mine

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Search if it is time."""
        step = trainer.global_step
        if step % self._every == 0 and step < self._total:
            found = self._mine(step)
            if found is not None:
                self._supply.use(found)

    def state_dict(self) -> dict[str, Any]:
        """To go on from."""
        mined = self._supply.mined
        return {"mined": None if mined is None else torch.from_numpy(mined)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on."""
        if state_dict["mined"] is not None:
            self._supply.use(np.asarray(state_dict["mined"].numpy(), dtype=np.int64))
