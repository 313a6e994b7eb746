"""The network as it was at the start, which the one that learns is to agree with."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from visavis.training.losses.value import LossValue
from visavis.types import Vectors


class Teacher:
    """What the weights that a run began with make of the crops before augmentation.

    A network that is trained on so that it tells masked faces, say, forgets some of what it knew.
    Where its embedding of the changed crop is held to what the untouched network makes of the
    unchanged one, it learns to see through the change and keeps the rest: templates of both
    models stay comparable, people with a single photo teach too, and a few dozen people are
    enough. The idea is that of G. Hinton, O. Vinyals and J. Dean, "Distilling the knowledge in a
    neural network", 2015 (arXiv:1503.02531), with embeddings in place of class probabilities.

    The untouched network's vectors do not change, so they are made once, before the first step, and
    not saved with the run: they are a function of the recipe and the data.

    Args:
        vectors: ``(N, D)`` float32, not zero.
        rows: ``(N,)`` rows of the pack that they are of.
        weight: of the disagreement in the loss.
    """

    def __init__(self, vectors: Vectors, rows: NDArray[np.int64], *, weight: float) -> None:
        place = np.full(int(rows.max()) + 1, -1)
        place[rows] = np.arange(len(rows))
        self._place = torch.from_numpy(place)
        self._vectors = torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float32))
        self.weight = weight

    def __call__(self, rows: Tensor) -> Tensor:
        """``(B, D)`` float32 vectors of ``(B,)`` rows of the pack, on the rows' device."""
        device = rows.device
        if self._vectors.device != device:
            self._place, self._vectors = self._place.to(device), self._vectors.to(device)
        return self._vectors[self._place[rows]]

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


def disagreement(raw: Tensor, wanted: Tensor) -> Tensor:
    """Mean of ``1 - cosine`` over the rows of two ``(B, D)`` sets of embeddings; in [0, 2].

    >>> disagreement(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0], [1.0, 0]]))
    tensor(0.5000)
    """
    return (1 - functional.cosine_similarity(raw, wanted)).mean()
