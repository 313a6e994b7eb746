"""Embedding of packed crops during a run, for validation and mining."""

from __future__ import annotations

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from visavis.embedding.torch import FaceNetwork
from visavis.training.augment.augmenter import Augmenter
from visavis.training.augment.masks import apply_mask
from visavis.training.data.pack import Pack
from visavis.training.loop import hardware
from visavis.training.recipes.recipe import Recipe
from visavis.types import Crops, Vectors

_BATCH = 128
_PIXELS = 1 << 19  # of a batch on CPUs, so that what the first layers put out is reused in caches
_MASKS = 5  # tells the masks of validation from others

Labels = NDArray[np.int64]


class PackEmbedder:
    """Embeds packed crops, the work shared among all processes.

    Args:
        recipe: its precision and memory order are used.
        pack: where crops come from.
        augmenter: brings them to the network's geometry.
        trainer: knows device and processes.
    """

    def __init__(
        self, recipe: Recipe, pack: Pack, augmenter: Augmenter, trainer: pl.Trainer
    ) -> None:
        self._recipe, self._pack, self._augmenter = recipe, pack, augmenter
        self._trainer = trainer

    def embed(
        self,
        network: FaceNetwork,
        rows: NDArray[np.int64],
        *,
        masked: bool = False,
        alone: bool = False,
        precise: bool = False,
    ) -> tuple[Vectors, Labels]:
        """Embed rows; unless ``alone``, every process calls it and gets all vectors.

        Args:
            network: what embeds, on its device.
            rows: of the pack.
            masked: the share of the crops that wears a synthetic mask in training does so here;
                always the same ones.
            alone: this process embeds all rows.
            precise: in full precision instead of the run's.

        Returns:
            ``(N, D)`` float32 of unit length, and the ``(N,)`` people of the pack.
        """
        device = next(network.parameters()).device
        rank, world = self._trainer.global_rank, self._trainer.world_size
        if alone:
            rank, world = 0, 1
        mine = rows[rank::world]
        half = hardware.uses_bf16(self._recipe, device) and not precise
        training = network.training
        network.eval()
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            vectors = self._vectors(network, mine, device, masked)
        network.train(training)
        if world > 1:
            padded = functional.pad(vectors, (0, 0, 0, -(-len(rows) // world) - len(mine)))
            joined = self._trainer.strategy.all_gather(padded.to(device))
            vectors = joined.transpose(0, 1).flatten(0, 1)[: len(rows)].cpu()
        return np.asarray(vectors.numpy(), dtype=np.float32), self._pack.labels[rows]

    def _vectors(
        self, network: FaceNetwork, rows: NDArray[np.int64], device: torch.device, masked: bool
    ) -> Tensor:
        share = self._recipe.augment.mask if masked else 0.0
        batch = _BATCH
        if device.type == "cpu":
            batch = min(batch, max(8, _PIXELS // network.spec.input_size**2))
        parts = [torch.zeros(0, network.spec.dimension)]
        with torch.no_grad():
            for start in range(0, len(rows), batch):
                some = rows[start : start + batch]
                crops = torch.from_numpy(
                    self._with_masks(np.asarray(self._pack.crops[some]), some, share)
                )
                with torch.autocast(device.type, enabled=False):
                    images = self._augmenter.plain(crops.to(device))
                if self._recipe.channels_last:
                    images = images.contiguous(memory_format=torch.channels_last)
                parts.append(network(images).float().cpu())
        return torch.cat(parts)

    def _with_masks(self, crops: Crops, rows: NDArray[np.int64], share: float) -> Crops:
        """Draw masks on a share of the crops; a function of each row's number."""
        for k, row in enumerate(rows if share else ()):
            rng = np.random.default_rng((_MASKS, row))
            if rng.random() < share:
                seed = int(rng.integers(1 << 62))
                crops[k : k + 1] = apply_mask(
                    crops[k : k + 1], size=self._pack.size, scale=self._pack.scale, seed=seed
                )
        return crops
