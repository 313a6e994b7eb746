"""Losses that classify the people of the training set.

CosFace, ArcFace and the normalized softmax are pytorch-metric-learning's behind our surface; it
has neither AdaFace nor SFace. Each loss takes the number of people P, the length of an embedding D
and, where its class says no more of them, ``scale`` (of the cosines), ``margin`` and
``label_smoothing`` (share of the target spread over all people, in [0, 1)). ``active`` is NaN.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_metric_learning import losses
from pytorch_metric_learning.losses import LargeMarginSoftmaxLoss, NormalizedSoftmaxLoss
from pytorch_metric_learning.utils.common_functions import TorchInitWrapper
from torch import Tensor, nn

from visavis.errors import OptionError
from visavis.training.losses.base import Centers, LossValue, full_precision
from visavis.types import Vectors

_SPREAD: Final = 0.01
FIRST_WEIGHTS = TorchInitWrapper(nn.init.normal_, std=_SPREAD)
"""Small first weights, as ArcFace's authors have them: with AdamW, whose steps have one size, the
directions of long ones would hardly turn."""
_CLOSENESS: Final = 1e-3


class SoftmaxLoss(nn.Module):
    """Mean cross-entropy of a linear classifier on the embeddings.

    Plain (``scale`` ``None``): logits ``raw @ W.T + b``. With a scale: embeddings and the people's
    weights are brought to unit length and the logits are ``scale x cosine`` (Zhai, Wu:
    Classification is a strong baseline for deep metric learning, BMVC 2019; temperature 1 / scale
    in pytorch-metric-learning).

    ``parts``: ``accuracy``, the share of rows whose own person scores highest.
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
        return _classified(loss, logits, labels)


class _MarginSoftmaxLoss(nn.Module):
    """Mean cross-entropy over ``scale x cosine``, where a row's own person has to beat a margin."""

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


class CosFaceLoss(_MarginSoftmaxLoss):
    """Cross-entropy with logit ``scale x (cosine - margin)`` for a row's own person.

    Wang et al.: CosFace, CVPR 2018.
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
    """The library's, with a gradient that stays finite where an embedding lies on its center."""

    def get_angles(self, cosine_of_target_classes: Tensor) -> Tensor:
        edge = 1 - 4 * torch.finfo(cosine_of_target_classes.dtype).eps
        return torch.acos(cosine_of_target_classes.clamp(-edge, edge))


class ArcFaceLoss(_MarginSoftmaxLoss):
    """Cross-entropy with logit ``scale x cos(angle + margin)`` for a row's own person.

    Deng, Guo, Xue, Zafeiriou: ArcFace, CVPR 2019. The margin is in radians. Where angle + margin
    would pass pi, the logit is ``scale x (cos(angle) - margin sin(margin))``, as in the authors'
    code, so that it keeps falling.
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
            margin=math.degrees(margin),
            scale=scale,
            weight_init_func=FIRST_WEIGHTS,
        )
        super().__init__(softmax, label_smoothing=label_smoothing)


class AdaFaceLoss(nn.Module):
    """Cross-entropy with logit ``scale x (cos(angle - margin z) - (margin z + margin))``.

    z in [-1, 1] is the row's norm, standardized with the running mean and deviation of the norms,
    times ``spread`` (the paper's h) and clipped; no gradient flows through it. At z = -1 that is
    ArcFace, at 0 CosFace. Kim, Jain, Liu: AdaFace, CVPR 2022. The margin is radians and cosine
    alike; ``momentum`` is that of the running mean and deviation, which the first batch sets.

    ``parts``: ``accuracy`` (without margin), ``norm`` (mean of the norms).
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
        self.centers = Centers(people, dimension)
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
            cosines = self.centers(rows)
            own = cosines.gather(1, labels[:, None])[:, 0]
            # The angle stays off 0 and pi, where turning it further would come back.
            angles = (own.acos() - self.margin * quality).clamp(_CLOSENESS, torch.pi - _CLOSENESS)
            with_margin = angles.cos() - self.margin * (1 + quality)
            logits = cosines.scatter(1, labels[:, None], with_margin[:, None]) * self.scale
            loss = nn.functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        return _classified(loss, cosines, labels, norm=norms.mean())

    def _follow(self, norms: Tensor) -> None:
        kept = torch.where(self.seen > 0, self.momentum, 0.0)
        self.norm_mean.copy_(kept * self.norm_mean + (1 - kept) * norms.mean())
        self.norm_deviation.copy_(kept * self.norm_deviation + (1 - kept) * norms.std())
        self.seen += 1


class SFaceLoss(nn.Module):
    """Sigmoid-constrained hypersphere loss: a sigmoid of the angle says how hard faces are moved.

    For a row with angle t to its own center and t_j to the others it is
    ``-r(t) cos(t) + sum_j q(t_j) cos(t_j)``, with ``r(t) = scale / (1 + exp(-slope (t - intra)))``
    and ``q(t) = scale / (1 + exp(slope (t - inter)))`` taken as constants by the gradient. So a
    face near its center is hardly pulled, which spares mislabeled ones, and a center far away
    hardly pushes. The mean is over the rows; it may be negative. Zhong, Deng, Hu, Zhao, Li, Wen:
    SFace: sigmoid-constrained hypersphere loss for robust face recognition, IEEE TIP 2021, whose
    s, k, a and b are ``scale``, ``slope``, ``intra`` and ``inter`` (radians).

    ``parts``: ``accuracy``; ``intra`` and ``inter``, the two terms.
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
        self.centers = Centers(people, dimension)

    def forward(self, raw: Tensor, labels: Tensor) -> LossValue:
        """Loss of a batch: ``raw`` (B, D), ``labels`` (B,) in 0 to P - 1."""
        with full_precision(raw) as rows:
            cosines = self.centers(rows)
            own = cosines.gather(1, labels[:, None])[:, 0]
            with torch.no_grad():
                pull = self.scale * torch.sigmoid(self.slope * (own.acos() - self.intra))
                push = self.scale * torch.sigmoid(self.slope * (self.inter - cosines.acos()))
                push.scatter_(1, labels[:, None], 0.0)
            intra = -(pull * own).mean()
            inter = (push * cosines).sum(dim=1).mean()
        return _classified(intra + inter, cosines, labels, intra=intra, inter=inter)


def _classified(loss: Tensor, logits: Tensor, labels: Tensor, **parts: Tensor) -> LossValue:
    accuracy = (logits.argmax(dim=1) == labels).to(loss.dtype).mean()
    plain = {name: part.detach() for name, part in parts.items()}
    return LossValue(loss, torch.full_like(accuracy, torch.nan), {"accuracy": accuracy} | plain)


def begin_at_means(loss: nn.Module, vectors: Vectors, labels: NDArray[np.int64]) -> None:
    """Put each person's center where the mean of their vectors points.

    A classifier over people that the network has not met starts at random, and the gradients that
    it sends at first would spoil a network that tells them apart already. So each center starts at
    the person's mean vector, as long as a random one would be.

    Args:
        loss: one that compares with a center a person by the cosine, alone or within a joint
            loss.
        vectors: ``(N, D)`` unit vectors of the photos that will be trained on.
        labels: ``(N,)`` person of each, 0 to P - 1; everybody has a photo.

    Raises:
        OptionError: the loss has no such centers.
    """
    sums = np.zeros((int(labels.max()) + 1, vectors.shape[1]))
    np.add.at(sums, labels, vectors)
    means = torch.from_numpy(sums / np.linalg.norm(sums, axis=1, keepdims=True)).float()
    found = [
        module.weight if isinstance(module, Centers) else module.W.T
        for module in loss.modules()
        if isinstance(module, (Centers, LargeMarginSoftmaxLoss, NormalizedSoftmaxLoss))
    ]
    if not found:
        raise OptionError(
            "head_from_init with a loss without a center for each person",
            "use cosface, arcface, adaface, sface, a joint loss with one of them, or false",
        )
    with torch.no_grad():
        for weight in found:
            weight.copy_(means.to(weight.device) * _SPREAD * math.sqrt(vectors.shape[1]))
