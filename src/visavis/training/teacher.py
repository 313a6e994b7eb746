"""The network as it was at the start, which the one that learns is to agree with."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from visavis.embedding.torch import FaceNetwork
from visavis.training.losses.value import LossValue


class Teacher:
    """Embeds the crops before augmentation with the weights that a run began with.

    A network that is trained on so that it tells masked faces, say, forgets some of what it knew.
    Where its embedding of the changed crop is held to what the untouched network makes of the
    unchanged one, it learns to see through the change and keeps the rest: templates of both
    models stay comparable, people with a single photo teach too, and a few dozen people are
    enough. The idea is that of G. Hinton, O. Vinyals and J. Dean, "Distilling the knowledge in a
    neural network", 2015 (arXiv:1503.02531), with embeddings in place of class probabilities.

    It is no module, so that its weights are neither trained nor saved with the run: they are a
    function of the recipe.

    Args:
        network: with its first weights, on the device of the run; it is made to stay as it is.
        weight: of the disagreement in the loss.
    """

    def __init__(self, network: FaceNetwork, *, weight: float) -> None:
        self._network = network.eval().requires_grad_(False)
        self.weight = weight

    def __call__(self, images: Tensor) -> Tensor:
        """``(B, D)`` float32 unit vectors of ``(B, 3, S, S)`` plain images, without gradient."""
        with torch.no_grad():
            return functional.normalize(self._network.raw(images))

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
