"""Embedding rows of a pack while a run is on: for validation and for mining."""

from __future__ import annotations

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from visavis.embedding.torch import FaceNetwork
from visavis.training.augment.augmenter import Augmenter
from visavis.training.augment.masks import wear
from visavis.training.data.pack import Pack
from visavis.training.loop import hardware
from visavis.training.recipes.recipe import Recipe
from visavis.types import Crops, Vectors

_BATCH = 128
_PIXELS = 1 << 19  # of a batch on CPUs, so that what the first layers put out is reused in caches
_MASKS = 5  # tells the masks of validation from others

Labels = NDArray[np.int64]


class PackEmbedder:
    """Plain crops to unit vectors, the work shared among all processes.

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
        self, network: FaceNetwork, rows: NDArray[np.int64], *, masked: bool = False
    ) -> tuple[Vectors, Labels]:
        """Vectors in the run's precision; every process calls it and gets all of them.

        Args:
            network: what embeds.
            rows: of the pack.
            masked: the share of the crops that wears a synthetic mask in training does so here;
                always the same ones.

        Returns:
            ``(N, D)`` float32 of unit length, and the ``(N,)`` people of the pack.
        """
        strategy, device = self._trainer.strategy, self._trainer.strategy.root_device
        rank, world = self._trainer.global_rank, self._trainer.world_size
        mine = rows[rank::world]
        half = hardware.uses_bf16(self._recipe, device)
        training = network.training
        network.eval()
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            vectors = self._vectors(network, mine, device, masked)
        network.train(training)
        if world > 1:
            padded = functional.pad(vectors, (0, 0, 0, -(-len(rows) // world) - len(mine)))
            joined = strategy.all_gather(padded.to(device))
            vectors = joined.transpose(0, 1).flatten(0, 1)[: len(rows)].cpu()
        return _array(vectors), self._pack.labels[rows]

    def embed_alone(
        self,
        network: FaceNetwork,
        rows: NDArray[np.int64],
        *,
        masked: bool = False,
        precise: bool = True,
    ) -> tuple[Vectors, Labels]:
        """Vectors in full precision, on the network's device, by this process alone.

        Args:
            network: what embeds.
            rows: of the pack.
            masked: as for ``embed``.
            precise: or else in the run's precision.
        """
        device = next(network.parameters()).device
        half = hardware.uses_bf16(self._recipe, device) and not precise
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            vectors = self._vectors(network, rows, device, masked)
        return _array(vectors), self._pack.labels[rows]

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
                    self._worn(np.asarray(self._pack.crops[some]), some, share)
                )
                with torch.autocast(device.type, enabled=False):
                    images = self._augmenter.plain(crops.to(device))
                if self._recipe.channels_last:
                    images = images.contiguous(memory_format=torch.channels_last)
                parts.append(network(images).float().cpu())
        return torch.cat(parts)

    def _worn(self, crops: Crops, rows: NDArray[np.int64], share: float) -> Crops:
        """Crops of some rows with masks; which rows and masks, each row decides for itself."""
        for k, row in enumerate(rows if share else ()):
            rng = np.random.default_rng((_MASKS, row))
            if rng.random() < share:
                seed = int(rng.integers(1 << 62))
                crops[k : k + 1] = wear(
                    crops[k : k + 1], size=self._pack.size, scale=self._pack.scale, seed=seed
                )
        return crops


def _array(vectors: Tensor) -> Vectors:
    return np.asarray(vectors.numpy(), dtype=np.float32)
