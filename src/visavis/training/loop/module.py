"""One step of training, as Lightning calls it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from visavis.embedding.torch import FaceNetwork
from visavis.training import building
from visavis.training.augment.augmenter import Augmenter
from visavis.training.loop import optimizers
from visavis.training.loop.loaders import Batch
from visavis.training.losses.base import LossValue
from visavis.training.recipes.recipe import Recipe
from visavis.training.seeds import derive, seeded
from visavis.types import Embedder, Vectors


class _Agreement:
    """Adds to a loss how far embeddings are from a teacher's.

    Args:
        weight: of the disagreement in the loss.
    """

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def wanted(self, images: Tensor, rows: Tensor, step: int) -> Tensor:
        """The teacher's embeddings of a batch, ``(B, D)`` float32, on its device.

        Args:
            images: ``(B, 3, S, S)`` of 0..255, augmented.
            rows: ``(B,)`` rows of the pack.
            step: of the run.
        """
        raise NotImplementedError

    def added(self, value: LossValue, raw: Tensor, wanted: Tensor) -> LossValue:
        """The loss with ``weight`` times the mean of ``1 - cosine`` of both embeddings.

        Args:
            value: the recipe's own loss.
            raw: ``(B, D)`` embeddings by the network that learns.
            wanted: ``(B, D)`` from the teacher.

        Returns:
            With a part ``distil``, the mean before weighting.
        """
        apart = disagreement(raw, wanted)
        return LossValue(
            value.loss + self.weight * apart,
            value.active,
            {**value.parts, "distil": apart.detach()},
        )


class Teacher(_Agreement):
    """Distillation from the initial weights: embeddings of the crops before augmentation.

    A network that is fine-tuned, for example on masked faces, forgets some of what it knew. This
    loss keeps its embedding of the augmented crop close to the embedding that the original network
    gives for the plain crop. So the network learns to ignore the augmentation and keeps the rest:
    embeddings of both networks stay close, people with a single photo are useful for training, too,
    and a few dozen people are enough. Source: G. Hinton, O. Vinyals and J. Dean, "Distilling the
    knowledge in a neural network", 2015 (arXiv:1503.02531), with embeddings instead of class
    probabilities.

    The original network's vectors do not change, so they are computed once, before the first step.
    They are not saved with the run: they are a function of the recipe and the data.

    Args:
        vectors: ``(N, D)`` float32, not zero.
        rows: ``(N,)`` rows of the pack that they are of.
        weight: weight of this loss.
    """

    def __init__(self, vectors: Vectors, rows: NDArray[np.int64], *, weight: float) -> None:
        place = np.full(int(rows.max()) + 1, -1)
        place[rows] = np.arange(len(rows))
        self._place = torch.from_numpy(place)
        self._vectors = torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float32))
        super().__init__(weight)

    def wanted(self, images: Tensor, rows: Tensor, step: int) -> Tensor:
        """The original network's embeddings of the rows' plain crops."""
        device = rows.device
        if self._vectors.device != device:
            self._place, self._vectors = self._place.to(device), self._vectors.to(device)
        return self._vectors[self._place[rows]]


class WiderTeacher(_Agreement):
    """Embeddings of augmented crops by the registered model that a narrower network imitates.

    Teacher and student see the same image, which teaches more than the teacher's view of the
    plain one (L. Beyer et al., "Knowledge distillation: a good teacher is patient and
    consistent", CVPR 2022, arXiv:2106.05237). Where augmentation repeats itself, each image is
    embedded once.

    Args:
        embedder: of the network's dimension and crops.
        weight: of the disagreement in the loss.
        cycle: steps after which the images come again; ``None`` for never.
    """

    def __init__(self, embedder: Embedder, *, weight: float, cycle: int | None = None) -> None:
        super().__init__(weight)
        self.cycle = cycle
        self._embedder = embedder
        self._known: dict[int, Tensor] = {}

    def wanted(self, images: Tensor, rows: Tensor, step: int) -> Tensor:
        """What the registered model makes of the images."""
        if self.cycle is None:
            return self._embedded(images)
        step %= self.cycle
        if step not in self._known:
            self._known[step] = self._embedded(images)
        return self._known[step].to(images.device)

    def _embedded(self, images: Tensor) -> Tensor:
        pixels = images.clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        vectors = self._embedder.embed(np.ascontiguousarray(pixels.cpu().numpy()))
        return torch.from_numpy(vectors).to(images.device)


def disagreement(raw: Tensor, wanted: Tensor) -> Tensor:
    """Mean of ``1 - cosine`` over the rows of two ``(B, D)`` sets of embeddings; in [0, 2].

    >>> disagreement(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0], [1.0, 0]]))
    tensor(0.5000)
    """
    return (1 - functional.cosine_similarity(raw, wanted)).mean()


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """Results of the last step for monitoring, detached.

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
    """Lightning module of a network and its loss.

    With several processes, each embeds its share of a batch; the embeddings are gathered with
    their gradients, and every process takes the loss of the joined batch: mining sees all of it,
    and the gradients are those of a single process.

    Args:
        recipe: how to learn.
        network: what learns.
        loss: from ``build_loss``.
        augmenter: packed crops to images.
        total: steps of the run.
        cycle: steps after which augmentation repeats itself; ``None`` for never.
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
        cycle: int | None = None,
        head_first: int = 0,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.last: Step | None = None
        self.gradient_norm: Tensor | float = float("nan")
        self._recipe, self._augmenter = recipe, augmenter
        self._total, self._head_first, self._cycle = total, head_first, cycle
        self.teacher: _Agreement | None = None
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

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Read checkpoints of former versions, which spelled centers otherwise."""
        weights = checkpoint["state_dict"]
        for name in [name for name in weights if ".centres." in name]:
            weights[name.replace(".centres.", ".centers.")] = weights.pop(name)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> _Images:
        """Augment, on the device and outside of mixed precision."""
        step = self.global_step % (self._cycle or self._total)
        seed = derive(self._recipe.seed, "augment", step, self.global_rank)
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
            building.train_mode(
                self.network, convolutions=self._recipe.frozen, norms=self._recipe.freeze_norm
            )
        wanted = (
            None if self.teacher is None else self.teacher.wanted(batch.images, batch.rows, step)
        )
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
