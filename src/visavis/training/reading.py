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
from visavis.training.data.pack import Pack
from visavis.training.recipes.recipe import Recipe
from visavis.types import Vectors

_BATCH = 128

Labels = NDArray[np.int64]


class Reader:
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

    def embed(self, network: FaceNetwork, rows: NDArray[np.int64]) -> tuple[Vectors, Labels]:
        """Vectors in the run's precision; every process calls it and gets all of them.

        Returns:
            ``(N, D)`` float32 of unit length, and the ``(N,)`` people of the pack.
        """
        strategy, device = self._trainer.strategy, self._trainer.strategy.root_device
        rank, world = self._trainer.global_rank, self._trainer.world_size
        mine = rows[rank::world]
        half = self._recipe.precision == "bf16"
        training = network.training
        network.eval()
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            vectors = self._vectors(network, mine, device)
        network.train(training)
        if world > 1:
            padded = functional.pad(vectors, (0, 0, 0, -(-len(rows) // world) - len(mine)))
            joined = strategy.all_gather(padded.to(device))
            vectors = joined.transpose(0, 1).flatten(0, 1)[: len(rows)].cpu()
        return _array(vectors), self._pack.labels[rows]

    def embed_alone(self, network: FaceNetwork, rows: NDArray[np.int64]) -> tuple[Vectors, Labels]:
        """Vectors in full precision, on the network's device, by this process alone."""
        device = next(network.parameters()).device
        return _array(self._vectors(network, rows, device)), self._pack.labels[rows]

    def _vectors(
        self, network: FaceNetwork, rows: NDArray[np.int64], device: torch.device
    ) -> Tensor:
        parts = [torch.zeros(0, network.spec.dimension)]
        with torch.no_grad():
            for start in range(0, len(rows), _BATCH):
                crops = torch.from_numpy(np.asarray(self._pack.crops[rows[start : start + _BATCH]]))
                with torch.autocast(device.type, enabled=False):
                    images = self._augmenter.plain(crops.to(device))
                if self._recipe.channels_last:
                    images = images.contiguous(memory_format=torch.channels_last)
                parts.append(network(images).float().cpu())
        return torch.cat(parts)


def _array(vectors: Tensor) -> Vectors:
    return np.asarray(vectors.numpy(), dtype=np.float32)
