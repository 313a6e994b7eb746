"""pytorch-metric-learning's margin softmax losses, behind our surface."""

from __future__ import annotations

import torch
from pytorch_metric_learning.losses import LargeMarginSoftmaxLoss
from pytorch_metric_learning.utils.common_functions import TorchInitWrapper
from torch import Tensor, nn

from visavis.training.losses.precision import full_precision
from visavis.training.losses.value import LossValue

FIRST_WEIGHTS = TorchInitWrapper(nn.init.normal_, std=0.01)
"""Small first weights, as ArcFace's authors have them: with AdamW, whose steps have one size, the
directions of long ones would hardly turn."""


class MarginSoftmaxLoss(nn.Module):
    """Mean cross-entropy over ``scale x cosine``, where a row's own person has to beat a margin.

    Args:
        softmax: the loss of pytorch-metric-learning, with the people's weights in ``W`` (D, P).
        label_smoothing: share of the target spread over all people, in [0, 1).

    ``active`` is NaN; ``parts`` is empty.
    """

    def __init__(self, softmax: LargeMarginSoftmaxLoss, *, label_smoothing: float) -> None:
        super().__init__()
        self.softmax = softmax
        self.softmax.cross_entropy = nn.CrossEntropyLoss(
            reduction="none", label_smoothing=label_smoothing
        )

    def forward(self, raw: Tensor, labels: Tensor) -> LossValue:
        """Loss of a batch: ``raw`` (B, D), ``labels`` (B,) in 0 to P - 1."""
        with full_precision(raw) as rows:
            loss = self.softmax(rows, labels)
        return LossValue(loss, torch.full_like(loss.detach(), torch.nan))
