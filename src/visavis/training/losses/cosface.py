"""CosFace: a margin on the cosine."""

from __future__ import annotations

from pytorch_metric_learning import losses

from visavis.training.losses.margin import FIRST_WEIGHTS, MarginSoftmaxLoss


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
