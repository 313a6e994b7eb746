"""A narrow MobileNetV1 for 8 bits, whose layers correspond to SFace's one by one.

Source: Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
Applications", arXiv:1704.04861, in SFace's arrangement (see ``sface``): a 3x3 convolution of stride
1 at 112 pixels, thirteen pairs of a depthwise and a pointwise convolution, a linear layer over the
whole last map. What differs is what 8-bit runtimes want: ReLU, which is part of a quantized
convolution where PReLU is a layer of its own; batch normalization that all folds into
convolutions; and no layer after the linear one. The last map has 7/16 as many channels as SFace's
at the same width, because the linear layer over it is two thirds of SFace's file. As the layers
correspond, the network can begin with what is left of SFace's weights
(``visavis.training.inheriting``). He initialization for the convolutions otherwise.

Parameters at width 1 and 128 numbers: 5,425,984; at width 0.5, which ``distill-edge`` takes,
2,075,616. Input: 112x112 RGB, crop scale 0.97 (any side from 32).
"""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

from visavis.embedding.backbones.mobilenet_v1 import PAIRS
from visavis.embedding.backbones.spec import (
    Backbone,
    Spec,
    check_options,
    convolution,
    halved,
    widened,
)

_SOURCE: Final = "Howard et al., MobileNets, arXiv:1704.04861, arranged as SFace, with ReLU"


class EdgeMobileNet(Backbone):
    """Depthwise-separable convolutions with ReLU and a linear layer over the last map.

    Args:
        dimension: length of an embedding.
        input_size: side of the crop, 32 pixels or more.
        crop_scale: size of the face in the crop.
        dropout: share of the last map dropped in training.
        width: multiplies SFace's channel counts.

    Raises:
        OptionError: an option outside its range.
    """

    def __init__(
        self,
        *,
        dimension: int = 128,
        input_size: int = 112,
        crop_scale: float = 0.97,
        dropout: float = 0.0,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        self.spec = Spec(
            name="edge_mobilenet",
            input_size=input_size,
            channels=3,
            crop_scale=crop_scale,
            dimension=dimension,
            mean=127.5,
            std=128.0,
            source=_SOURCE,
        )
        check_options(self.spec, dropout=dropout, smallest=32)
        counts = [32, *(channels for channels, _ in PAIRS)]
        counts[-1] = counts[-1] * 7 // 16
        before, *rest = widened(counts, width)
        layers = [convolution(3, before, nn.ReLU(inplace=True))]
        for after, (_, stride) in zip(rest, PAIRS, strict=True):
            layers += [
                convolution(before, before, nn.ReLU(inplace=True), stride=stride, groups=before),
                convolution(before, after, nn.ReLU(inplace=True), kernel=1),
            ]
            before = after
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        side = halved(input_size, sum(stride == 2 for _, stride in PAIRS))
        self.head = nn.Linear(before * side**2, dimension)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 3, S, S)`` normalized to ``(N, dimension)``, not of unit length."""
        embeddings: Tensor = self.head(self.dropout(self.features(x).flatten(1)))
        return embeddings
