"""Cross-entropy over the people of the training set."""

from __future__ import annotations

import torch
from pytorch_metric_learning.losses import NormalizedSoftmaxLoss
from torch import Tensor, nn

from visavis.training.losses.margin import FIRST_WEIGHTS
from visavis.training.losses.precision import full_precision
from visavis.training.losses.value import LossValue


class SoftmaxLoss(nn.Module):
    """Mean cross-entropy of a linear classifier on the embeddings.

    Plain: logits ``raw @ W.T + b``. With a scale: embeddings and the people's weights are brought
    to unit length and the logits are ``scale x cosine`` (Zhai, Wu: Classification is a strong
    baseline for deep metric learning, BMVC 2019; pytorch-metric-learning's
    ``NormalizedSoftmaxLoss`` with temperature 1 / scale).

    Args:
        people: number of people, P.
        dimension: length of an embedding, D.
        scale: of the cosines; ``None``: the plain classifier.
        label_smoothing: share of the target spread over all people, in [0, 1).

    ``active`` is NaN. ``parts``: ``accuracy``, the share of rows whose own person scores highest.
    """

    def __init__(
        self,
        people: int,
        dimension: int,
        *,
        scale: float | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.classifier: nn.Linear | NormalizedSoftmaxLoss
        if scale is None:
            self.classifier = nn.Linear(dimension, people)
        else:
            self.classifier = NormalizedSoftmaxLoss(
                people, dimension, temperature=1 / scale, weight_init_func=FIRST_WEIGHTS
            )

    def forward(self, raw: Tensor, labels: Tensor) -> LossValue:
        """Loss of a batch: ``raw`` (B, D), ``labels`` (B,) in 0 to P - 1."""
        with full_precision(raw) as rows:
            if isinstance(self.classifier, nn.Linear):
                logits = self.classifier(rows)
            else:
                logits = self.classifier.get_logits(rows)
            loss = nn.functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        accuracy = (logits.argmax(dim=1) == labels).to(loss.dtype).mean()
        return LossValue(loss, torch.full_like(accuracy, torch.nan), {"accuracy": accuracy})
