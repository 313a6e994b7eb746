"""A classifier that begins where the network already puts people."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_metric_learning.losses import LargeMarginSoftmaxLoss, NormalizedSoftmaxLoss
from torch import Tensor, nn

from visavis.errors import OptionError
from visavis.training.losses.centres import Centres
from visavis.types import Vectors

_SPREAD = 0.01  # standard deviation that random centres have


def begin_at_means(loss: nn.Module, vectors: Vectors, labels: NDArray[np.int64]) -> None:
    """Put each person's centre where the mean of their vectors points.

    A classifier over people that the network has not met starts at random, and the gradients that
    it sends at first would spoil a network that tells them apart already. So each centre starts at
    the person's mean vector, as long as a random one would be.

    Args:
        loss: one that compares with a centre a person by the cosine, alone or within a joint
            loss.
        vectors: ``(N, D)`` unit vectors of the photos that will be trained on.
        labels: ``(N,)`` person of each, 0 to P - 1; everybody has a photo.

    Raises:
        OptionError: the loss has no such centres.
    """
    people = int(labels.max()) + 1
    sums = np.zeros((people, vectors.shape[1]))
    np.add.at(sums, labels, vectors)
    means = torch.from_numpy(sums / np.linalg.norm(sums, axis=1, keepdims=True)).float()
    found = [centres for module in loss.modules() if (centres := _centres(module)) is not None]
    if not found:
        raise OptionError(
            "head_from_init with a loss without a centre for each person",
            "use cosface, arcface, adaface, sface, a joint loss with one of them, or false",
        )
    with torch.no_grad():
        for weight in found:
            weight.copy_(means.to(weight.device) * _SPREAD * math.sqrt(vectors.shape[1]))


def _centres(module: nn.Module) -> Tensor | None:
    """Of a module that has them: ``(P, D)``, a view of its weights."""
    if isinstance(module, Centres):
        return module.weight
    if isinstance(module, (LargeMarginSoftmaxLoss, NormalizedSoftmaxLoss)):
        weight: Tensor = module.W
        return weight.T
    return None
