"""AdaFace: a margin that depends on the quality of the photo, told by the embedding's norm."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from visavis.training.losses.centres import Centres
from visavis.training.losses.precision import full_precision
from visavis.training.losses.value import LossValue

_CLOSENESS = 1e-3


class AdaFaceLoss(nn.Module):
    """Cross-entropy with logit ``scale x (cos(angle - margin z) - (margin z + margin))``.

    z in [-1, 1] is the row's norm, standardized with the running mean and deviation of the norms,
    times ``spread`` and clipped; no gradient flows through it. At z = -1 that is ArcFace, at 0
    CosFace. Kim, Jain, Liu: AdaFace, CVPR 2022.

    Args:
        people: number of people, P.
        dimension: length of an embedding, D.
        margin: radians and cosine alike.
        scale: of the cosines.
        spread: the paper's h.
        momentum: of the running mean and deviation; the first batch sets them.
        label_smoothing: share of the target spread over all people, in [0, 1).

    ``active`` is NaN. ``parts``: ``accuracy`` (without margin), ``norm`` (mean of the norms).
    """

    norm_mean: Tensor
    norm_deviation: Tensor
    seen: Tensor

    def __init__(
        self,
        people: int,
        dimension: int,
        *,
        margin: float = 0.4,
        scale: float = 64.0,
        spread: float = 0.333,
        momentum: float = 0.99,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.margin, self.scale, self.spread = margin, scale, spread
        self.momentum, self.label_smoothing = momentum, label_smoothing
        self.centres = Centres(people, dimension)
        self.register_buffer("norm_mean", torch.zeros(()))
        self.register_buffer("norm_deviation", torch.ones(()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, raw: Tensor, labels: Tensor) -> LossValue:
        """Loss of a batch: ``raw`` (B, D), ``labels`` (B,) in 0 to P - 1."""
        with full_precision(raw) as rows:
            norms = rows.detach().norm(dim=1).clamp(1e-3, 100)
            if self.training and len(rows) > 1:
                self._follow(norms)
            standardized = (norms - self.norm_mean) / (self.norm_deviation + 1e-3)
            quality = (standardized * self.spread).clamp(-1, 1)
            cosines = self.centres(rows)
            own = cosines.gather(1, labels[:, None])[:, 0]
            # The angle stays off 0 and pi, where turning it further would come back.
            angles = (own.acos() - self.margin * quality).clamp(_CLOSENESS, torch.pi - _CLOSENESS)
            with_margin = angles.cos() - self.margin * (1 + quality)
            logits = cosines.scatter(1, labels[:, None], with_margin[:, None]) * self.scale
            loss = nn.functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        accuracy = (cosines.argmax(dim=1) == labels).to(loss.dtype).mean()
        parts = {"accuracy": accuracy, "norm": norms.mean()}
        return LossValue(loss, torch.full_like(accuracy, torch.nan), parts)

    def _follow(self, norms: Tensor) -> None:
        kept = torch.where(self.seen > 0, self.momentum, 0.0)
        self.norm_mean.copy_(kept * self.norm_mean + (1 - kept) * norms.mean())
        self.norm_deviation.copy_(kept * self.norm_deviation + (1 - kept) * norms.std())
        self.seen += 1
