"""SFace's loss: how hard a face is pulled and pushed is a sigmoid of the angle."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from visavis.training.losses.centres import Centres
from visavis.training.losses.precision import full_precision
from visavis.training.losses.value import LossValue


class SFaceLoss(nn.Module):
    """Sigmoid-constrained hypersphere loss.

    For a row with angle t to its own centre and t_j to the others it is
    ``-r(t) cos(t) + sum_j q(t_j) cos(t_j)``, with ``r(t) = scale / (1 + exp(-slope (t - intra)))``
    and ``q(t) = scale / (1 + exp(slope (t - inter)))`` taken as constants by the gradient. So a
    face near its centre is hardly pulled, which spares mislabelled ones, and a centre far away
    hardly pushes. The mean is over the rows; it may be negative. Zhong, Deng, Hu, Zhao, Li, Wen:
    SFace: sigmoid-constrained hypersphere loss for robust face recognition, IEEE TIP 2021.

    Args:
        people: number of people, P.
        dimension: length of an embedding, D.
        scale: the paper's s.
        slope: the paper's k.
        intra: the paper's a, radians.
        inter: the paper's b, radians.

    ``active`` is NaN. ``parts``: ``accuracy``; ``intra`` and ``inter``, the two terms.
    """

    def __init__(
        self,
        people: int,
        dimension: int,
        *,
        scale: float = 64.0,
        slope: float = 80.0,
        intra: float = 0.87,
        inter: float = 1.2,
    ) -> None:
        super().__init__()
        self.scale, self.slope, self.intra, self.inter = scale, slope, intra, inter
        self.centres = Centres(people, dimension)

    def forward(self, raw: Tensor, labels: Tensor) -> LossValue:
        """Loss of a batch: ``raw`` (B, D), ``labels`` (B,) in 0 to P - 1."""
        with full_precision(raw) as rows:
            cosines = self.centres(rows)
            own = cosines.gather(1, labels[:, None])[:, 0]
            with torch.no_grad():
                pull = self.scale * torch.sigmoid(self.slope * (own.acos() - self.intra))
                push = self.scale * torch.sigmoid(self.slope * (self.inter - cosines.acos()))
                push.scatter_(1, labels[:, None], 0.0)
            intra = -(pull * own).mean()
            inter = (push * cosines).sum(dim=1).mean()
            loss = intra + inter
        accuracy = (cosines.argmax(dim=1) == labels).to(loss.dtype).mean()
        parts = {"accuracy": accuracy, "intra": intra.detach(), "inter": inter.detach()}
        return LossValue(loss, torch.full_like(accuracy, torch.nan), parts)
