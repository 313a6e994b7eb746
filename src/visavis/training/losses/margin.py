"""CosFace and ArcFace: pytorch-metric-learning's margin softmax losses, behind our surface."""

from __future__ import annotations

import torch
from pytorch_metric_learning import losses
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


class CosFaceLoss(MarginSoftmaxLoss):
    """Cross-entropy with logit ``scale x (cosine - margin)`` for a row's own person.

    Wang et al.: CosFace, CVPR 2018. The loss is pytorch-metric-learning's.

    Args:
        people: number of people, P.
        dimension: length of an embedding, D.
        margin: of the cosine.
        scale: of the cosines.
        label_smoothing: share of the target spread over all people, in [0, 1).
    """

    def __init__(
        self,
        people: int,
        dimension: int,
        *,
        margin: float = 0.35,
        scale: float = 64.0,
        label_smoothing: float = 0.0,
    ) -> None:
        softmax = losses.CosFaceLoss(
            people, dimension, margin=margin, scale=scale, weight_init_func=FIRST_WEIGHTS
        )
        super().__init__(softmax, label_smoothing=label_smoothing)


class _SafeArcFace(losses.ArcFaceLoss):  # type: ignore[misc]
    """The library's, with a gradient that stays finite where an embedding lies on its centre."""

    def get_angles(self, cosine_of_target_classes: Tensor) -> Tensor:
        edge = 1 - 4 * torch.finfo(cosine_of_target_classes.dtype).eps
        return torch.acos(cosine_of_target_classes.clamp(-edge, edge))


class ArcFaceLoss(MarginSoftmaxLoss):
    """Cross-entropy with logit ``scale x cos(angle + margin)`` for a row's own person.

    Deng, Guo, Xue, Zafeiriou: ArcFace, CVPR 2019. Where angle + margin would pass pi, the logit is
    ``scale x (cos(angle) - margin sin(margin))``, as in the authors' code, so that it keeps
    falling. The loss is pytorch-metric-learning's.

    Args:
        people: number of people, P.
        dimension: length of an embedding, D.
        margin: radians.
        scale: of the cosines.
        label_smoothing: share of the target spread over all people, in [0, 1).
    """

    def __init__(
        self,
        people: int,
        dimension: int,
        *,
        margin: float = 0.5,
        scale: float = 64.0,
        label_smoothing: float = 0.0,
    ) -> None:
        softmax = _SafeArcFace(
            people,
            dimension,
            margin=float(torch.rad2deg(torch.tensor(margin, dtype=torch.float64))),
            scale=scale,
            weight_init_func=FIRST_WEIGHTS,
        )
        super().__init__(softmax, label_smoothing=label_smoothing)
