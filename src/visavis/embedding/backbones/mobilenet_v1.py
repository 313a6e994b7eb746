"""MobileNetV1 with a FaceNet head.

Source: Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
Applications", arXiv:1704.04861, table 1: a 3x3 convolution of stride 2 and thirteen pairs of a
depthwise 3x3 and a pointwise convolution, each with batch normalization and an activation, then
global average pooling. The activation is a leaky ReLU of slope 0.5 in place of the ReLU6 of usual
implementations: with that, 27 layers without a shortcut hardly learn from a few thousand people.
The head is that of the FaceNet re-implementations that use this network (after D. Sandberg's
facenet): dropout of 0.5, a bottleneck without bias to 128 numbers, batch normalization (eps 0.001);
the classifier that they train along belongs to the loss here. In place of the average, the
bottleneck may be over the whole last map, so that each place of the face has its own weight (as in
Deng et al., "ArcFace", CVPR 2019, option E): few people teach that more. He initialization for the
convolutions, the bottleneck normal with deviation 0.01.

Parameters at width 1 and 128 numbers: 3,338,304. Input: 160x160 RGB (any side from 32).
"""

from __future__ import annotations

import math
from typing import Final

from torch import Tensor, nn

from visavis.embedding.backbones.spec import Backbone, Spec, check_options, convolution, widened
from visavis.errors import OptionError

HEADS: Final = ("average", "flatten")

_SOURCE: Final = (
    "Howard et al., MobileNets, arXiv:1704.04861, with the head of D. Sandberg's facenet"
)

_HALVED: Final = 5  # times, up to the last feature map

# Output channels and stride of each depthwise-separable pair.
PAIRS: Final = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *((512, 1),) * 5,
    (1024, 2),
    (1024, 1),
)


class MobileNetV1(Backbone):
    """Depthwise-separable convolutions, average pooling, a bottleneck with batch normalization.

    Args:
        dimension: length of an embedding.
        input_size: side of the crop, 32 pixels or more.
        crop_scale: size of the face in the crop.
        dropout: share of the pooled features dropped in training.
        width: multiplies every channel count (the paper's alpha); 0.25, 0.5, 0.75, 1.
        slope: of the activation below zero, in [0, 1); 0 is ReLU6.
        head: ``average`` over the last map, or ``flatten`` it.

    Raises:
        OptionError: an option outside its range.
    """

    def __init__(
        self,
        *,
        dimension: int = 128,
        input_size: int = 160,
        crop_scale: float = 0.9,
        dropout: float = 0.5,
        width: float = 1.0,
        slope: float = 0.5,
        head: str = "average",
    ) -> None:
        super().__init__()
        if not 0 <= slope < 1:
            raise OptionError(f"mobilenet_v1 with slope {slope}", "give a number in [0, 1)")
        if head not in HEADS:
            raise OptionError(f"mobilenet_v1 with head {head!r}", f"choose {' or '.join(HEADS)}")
        self.spec = Spec(
            name="mobilenet_v1",
            input_size=input_size,
            channels=3,
            crop_scale=crop_scale,
            dimension=dimension,
            mean=127.5,
            std=128.0,
            source=_SOURCE,
        )
        check_options(self.spec, dropout=dropout, smallest=32)
        before = widened((32,), width)[0]
        layers = [convolution(3, before, _activation(slope), stride=2)]
        for channels, stride in PAIRS:
            after = widened((channels,), width)[0]
            layers += [
                convolution(before, before, _activation(slope), stride=stride, groups=before),
                convolution(before, after, _activation(slope), kernel=1),
            ]
            before = after
        self.features = nn.Sequential(*layers)
        if head == "flatten":
            self.pool: nn.Module = nn.Identity()
            before *= math.ceil(input_size / 2**_HALVED) ** 2
        else:
            self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.bottleneck = nn.Linear(before, dimension, bias=False)
        self.last_bn = nn.BatchNorm1d(dimension, eps=0.001)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # By fan-in: torch counts the fan-out of a depthwise convolution without its groups.
                nn.init.kaiming_normal_(module.weight, a=slope)
        nn.init.normal_(self.bottleneck.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 3, S, S)`` normalized to ``(N, dimension)``, not of unit length."""
        x = self.pool(self.features(x)).flatten(1)
        embeddings: Tensor = self.last_bn(self.bottleneck(self.dropout(x)))
        return embeddings


def _activation(slope: float) -> nn.Module:
    return nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU6()
