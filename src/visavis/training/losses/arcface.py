"""ArcFace: a margin on the angle."""

from __future__ import annotations

import torch
from pytorch_metric_learning import losses
from torch import Tensor

from visavis.training.losses.margin import FIRST_WEIGHTS, MarginSoftmaxLoss


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
