"""The running mean of the network's weights."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from visavis.embedding.torch import FaceNetwork


class Ema(AveragedModel):
    """An exponential moving average of a network, which validates better than its latest weights.

    At its ``n``-th update the mean moves by ``1 - min(decay, (n + 1) / (n + 10))`` towards the
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
