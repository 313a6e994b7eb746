"""One step of training, as Lightning calls it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from visavis.embedding.torch import FaceNetwork
from visavis.training.augment.augmenter import Augmenter
from visavis.training.loop import freezing, optimizers
from visavis.training.loop.feeding import Batch
from visavis.training.loop.seeds import derive, seeded
from visavis.training.loop.teacher import Teacher
from visavis.training.losses.value import LossValue
from visavis.training.recipes.recipe import Recipe


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What the last step left behind for those who watch; nothing has a gradient.

    Attributes:
        value: the loss of the joined batch.
        raw: ``(B, D)`` embeddings of all processes, in the order of their ranks.
        labels: ``(B,)`` people of them.
    """

    value: LossValue
    raw: Tensor
    labels: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class _Images:
    images: Tensor
    labels: Tensor
    rows: Tensor


class Training(pl.LightningModule):
    """A network and its loss while they learn.

    With several processes, each embeds its share of a batch; the embeddings are gathered with
    their gradients, and every process takes the loss of the joined batch: mining sees all of it,
    and the gradients are those of a single process.

    Args:
        recipe: how to learn.
        network: what learns.
        loss: from ``build_loss``.
        augmenter: packed crops to images.
        total: steps of the run.
        head_first: steps at the start in which only the loss's parameters learn.

    Attributes:
        teacher: what the network is held to besides, if anything.
    """

    def __init__(
        self,
        recipe: Recipe,
        network: FaceNetwork,
        loss: nn.Module,
        augmenter: Augmenter,
        *,
        total: int,
        head_first: int = 0,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.last: Step | None = None
        self.gradient_norm: Tensor | float = float("nan")
        self._recipe, self._augmenter = recipe, augmenter
        self._total, self._head_first = total, head_first
        self.teacher: Teacher | None = None
        self._raw: Callable[[Tensor], Tensor] = network.raw
        if recipe.compile:
            self._raw = cast("Callable[[Tensor], Tensor]", torch.compile(network.raw))

    def configure_optimizers(self) -> Any:
        """The recipe's optimizer and schedule, one step of it a batch."""
        fused = self.device.type in {"cpu", "cuda"}
        optimizer = optimizers.build_optimizer(
            self._recipe, self.network, self.loss, fused=fused or None
        )
        scheduler = optimizers.build_scheduler(
            self._recipe, optimizer, total=self._total, head_first=self._head_first
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> _Images:
        """Augment, on the device and outside of mixed precision."""
        seed = derive(self._recipe.seed, "augment", self.global_step, self.global_rank)
        with torch.no_grad():
            images = self._ordered(self._augmenter(batch.crops, seed=seed))
        return _Images(images, batch.labels, batch.rows)

    def training_step(self, batch: _Images, batch_idx: int) -> Tensor:
        """The loss of the joined batch."""
        step, seed = self.global_step, self._recipe.seed
        alone = step < self._head_first
        if alone:
            self.network.eval()
        else:
            freezing.train_mode(
                self.network, convolutions=self._recipe.frozen, norms=self._recipe.freeze_norm
            )
        wanted = None if self.teacher is None else self.teacher(batch.rows)
        with (
            seeded(derive(seed, "network", step, self.global_rank), device=self.device),
            torch.set_grad_enabled(not alone),
        ):
            raw = self._raw(batch.images)
        raw, labels = raw.float(), batch.labels
        if self.trainer.world_size > 1:
            raw = cast(Tensor, self.all_gather(raw, sync_grads=not alone)).flatten(0, 1)
            labels = cast(Tensor, self.all_gather(labels)).flatten(0, 1)
            if wanted is not None:
                wanted = cast(Tensor, self.all_gather(wanted)).flatten(0, 1)
        with (
            seeded(derive(seed, "loss", step), device=self.device),
            torch.autocast(self.device.type, enabled=False),
        ):
            value: LossValue = self.loss(raw, labels)
            if self.teacher is not None and wanted is not None:
                value = self.teacher.added(value, raw, wanted)
        self.last = Step(
            LossValue(value.loss.detach(), value.active, value.parts), raw.detach(), labels
        )
        return value.loss

    def _ordered(self, images: Tensor) -> Tensor:
        last = self._recipe.channels_last
        return images.contiguous(
            memory_format=torch.channels_last if last else torch.contiguous_format
        )

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by the recipe; done here because Lightning refuses to with fused optimizers."""
        if self._recipe.clip is not None:
            learning = [p for p in self.parameters() if p.grad is not None]
            self.gradient_norm = nn.utils.clip_grad_norm_(learning, self._recipe.clip)
