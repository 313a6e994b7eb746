"""MobileFaceNet: about a million parameters, designed for faces on phones.

Source: Chen, Liu, Gao, Han, "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face
Verification on Mobile Devices", CCBR 2018 (arXiv:1804.07573), table 1: a 3x3 convolution of stride
2, a depthwise 3x3, inverted bottlenecks of MobileNetV2 with PReLU in place of ReLU6, a 1x1
convolution to 512, a depthwise convolution over the whole last map ("global depthwise"), a linear
1x1 convolution to the embedding; batch normalization after every convolution. Ours adds dropout,
off by default, before the last layer. He initialization. Pixels: (x - 127.5) / 128, as in the
paper.

Parameters at 128 numbers: 1,003,136, of which 7,552 are slopes of PReLU (the paper: 0.99 million).
Input: 112x112 RGB (any side from 32).
"""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

from visavis.embedding.backbones.spec import Backbone, Spec, check_options, convolution, halved

_SOURCE: Final = "Chen et al., MobileFaceNets, CCBR 2018, arXiv:1804.07573"

# Expansion, output channels, repetitions and first stride of each row of table 1.
_ROWS: Final = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


class MobileFaceNet(Backbone):
    """Inverted bottlenecks with PReLU and a global depthwise convolution.

    Args:
        dimension: length of an embedding.
        input_size: side of the crop, 32 pixels or more.
        crop_scale: size of the face in the crop.
        dropout: share of the 512 features dropped in training; the paper has none.

    Raises:
        OptionError: an option outside its range.
    """

    def __init__(
        self,
        *,
        dimension: int = 128,
        input_size: int = 112,
        crop_scale: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.spec = Spec(
            name="mobilefacenet",
            input_size=input_size,
            channels=3,
            crop_scale=crop_scale,
            dimension=dimension,
            mean=127.5,
            std=128.0,
            source=_SOURCE,
        )
        check_options(self.spec, dropout=dropout, smallest=32)
        layers: list[nn.Module] = [
            _convolution(3, 64, kernel=3, stride=2),
            _convolution(64, 64, kernel=3, groups=64),
        ]
        before = 64
        for expansion, after, repetitions, first in _ROWS:
            for k in range(repetitions):
                stride = first if k == 0 else 1
                layers.append(_Bottleneck(before, after, expansion * before, stride=stride))
                before = after
        layers.append(_convolution(before, 512, kernel=1))
        self.features = nn.Sequential(*layers)
        side = halved(input_size, 1 + sum(row[3] == 2 for row in _ROWS))
        self.head = nn.Sequential(
            nn.Conv2d(512, 512, side, groups=512, bias=False),
            nn.BatchNorm2d(512),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(512, dimension, bias=False),
            nn.BatchNorm1d(dimension),
        )
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, a=0.25)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 3, S, S)`` normalized to ``(N, dimension)``, not of unit length."""
        embeddings: Tensor = self.head(self.features(x))
        return embeddings


class _Bottleneck(nn.Module):
    """Expand by a 1x1, depthwise 3x3, project by a linear 1x1; added to the input where it fits."""

    def __init__(self, before: int, after: int, inner: int, *, stride: int) -> None:
        super().__init__()
        self.residual = stride == 1 and before == after
        self.expand = _convolution(before, inner, kernel=1)
        self.depthwise = _convolution(inner, inner, kernel=3, stride=stride, groups=inner)
        self.project = nn.Conv2d(inner, after, 1, bias=False)
        self.bn = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        """Features of ``x``."""
        y: Tensor = self.bn(self.project(self.depthwise(self.expand(x))))
        return x + y if self.residual else y


def _convolution(
    before: int, after: int, *, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    slope = nn.PReLU(after)
    return convolution(before, after, slope, kernel=kernel, stride=stride, groups=groups)
