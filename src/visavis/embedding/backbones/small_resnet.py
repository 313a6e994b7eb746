"""A small residual network for training on a few CPU cores.

Source: our own, after He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, with a
leaky ReLU at PReLU's first slope and the batch-normalized embedding of Deng et al., "ArcFace", CVPR
2019. Only dense 3x3 convolutions, which CPUs run several times faster per operation than depthwise
ones; half of the work at most in the large feature maps. The head is either one depthwise
convolution over the whole last map (Chen et al., "MobileFaceNets", CCBR 2018: each place of the
face has its own weight), or a linear layer over all of it between two batch normalizations
(ArcFace's option E).

Parameters at the defaults: 2,482,592. Input: 56x56 RGB (any side from 32).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from torch import Tensor, nn

from visavis.embedding.backbones.spec import Backbone, Spec, check_options, halved, widened
from visavis.errors import OptionError

_SOURCE: Final = "ours, after He et al., CVPR 2016, and Deng et al., ArcFace, CVPR 2019"
HEADS: Final = ("depthwise", "flatten")
# PReLU's first value. Left to learn, it costs a sixth of a training step on a CPU.
_SLOPE: Final = 0.25


class SmallResNet(Backbone):
    """A stem and as many stages as there are widths, each at half the side of the one before.

    A stage is a 3x3 convolution of stride 2 and residual blocks of two 3x3 convolutions. With
    ``stem_stride=2`` the stem halves the side and the first stage does not, which saves about a
    third of the work.

    Args:
        dimension: length of an embedding.
        input_size: side of the crop, 32 pixels or more.
        crop_scale: how large the face stands in the crop.
        dropout: share of the features dropped in training, before the linear layer.
        widths: channels of each stage.
        blocks: residual blocks of each stage.
        stem_stride: 1 or 2.
        head: ``depthwise`` or ``flatten``.
        width: multiplies the channels of every stage.

    Raises:
        OptionError: an option outside its range.
    """

    def __init__(
        self,
        *,
        dimension: int = 128,
        input_size: int = 56,
        crop_scale: float = 1.0,
        dropout: float = 0.0,
        widths: Sequence[int] = (32, 64, 128, 256),
        blocks: Sequence[int] = (1, 1, 1, 1),
        stem_stride: int = 2,
        head: str = "flatten",
        width: float = 1.0,
    ) -> None:
        super().__init__()
        check_options(
            "small_resnet",
            dimension=dimension,
            dropout=dropout,
            input_size=input_size,
            smallest=32,
        )
        _check_stages(widths, blocks, stem_stride, head)
        self.spec = Spec(
            name="small_resnet",
            input_size=input_size,
            channels=3,
            crop_scale=crop_scale,
            dimension=dimension,
            mean=127.5,
            std=128.0,
            source=_SOURCE,
        )
        widths = widened(widths, width)
        before = widths[0]
        layers: list[nn.Module] = [_convolution(3, before, stride=stem_stride)]
        for k, (channels, count) in enumerate(zip(widths, blocks, strict=True)):
            if k or stem_stride == 1:
                layers.append(_convolution(before, channels, stride=2))
            layers.extend(_Residual(channels) for _ in range(count))
            before = channels
        self.features = nn.Sequential(*layers)
        side = halved(input_size, len(widths))
        self.head = _HEAD[head](before, side, dimension, dropout)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=_SLOPE)
            elif isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 3, S, S)`` normalized to ``(N, dimension)``, not of unit length."""
        embeddings: Tensor = self.head(self.features(x))
        return embeddings


class _Residual(nn.Module):
    """Two 3x3 convolutions added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels, stride=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.activation = nn.LeakyReLU(_SLOPE, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape as ``x``."""
        y: Tensor = self.activation(x + self.bn(self.second(self.first(x))))
        return y


def _convolution(before: int, after: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.LeakyReLU(_SLOPE, inplace=True),
    )


def _depthwise(channels: int, side: int, dimension: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, side, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(channels, dimension, bias=False),
        nn.BatchNorm1d(dimension),
    )


def _flatten(channels: int, side: int, dimension: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(channels),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(channels * side * side, dimension, bias=False),
        nn.BatchNorm1d(dimension),
    )


_HEAD: Final = {"depthwise": _depthwise, "flatten": _flatten}


def _check_stages(
    widths: Sequence[int], blocks: Sequence[int], stem_stride: int, head: str
) -> None:
    if not widths or len(widths) != len(blocks) or min(widths) < 1 or min(blocks) < 0:
        raise OptionError(
            f"small_resnet with widths {tuple(widths)} and blocks {tuple(blocks)}",
            "give as many block counts, 0 or more, as channel counts, 1 or more",
        )
    if stem_stride not in {1, 2}:
        raise OptionError(f"small_resnet with stem stride {stem_stride}", "choose 1 or 2")
    if head not in HEADS:
        raise OptionError(f"small_resnet with head {head!r}", f"choose {' or '.join(HEADS)}")
