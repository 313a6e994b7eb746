"""A small residual network for training on a few CPU cores.

Source: our own, after He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, with a
leaky ReLU at PReLU's first slope and the batch-normalized embedding of Deng et al., "ArcFace", CVPR
2019. The face is gray and large, halved by max pooling: on a few thousand people, color, and
convolutions of stride 2 in place of the pooling, cost validation AUC. Only dense convolutions,
which CPUs run several times faster per operation than depthwise ones. The head is either a linear
layer over the whole last map between two batch normalizations (ArcFace's option E), or one
depthwise convolution over it (Chen et al., "MobileFaceNets", CCBR 2018: each place of the face has
its own weight).

Parameters at the defaults: 1,075,952. Input: 96x96 gray (any side from 32).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from torch import Tensor, nn

from visavis.embedding.backbones.spec import Backbone, Spec, check_options, convolution, widened
from visavis.errors import OptionError

_SOURCE: Final = "ours, after He et al., CVPR 2016, and Deng et al., ArcFace, CVPR 2019"
HEADS: Final = ("flatten", "depthwise")
# PReLU's initial value. Learning it would cost a sixth of a training step on a CPU.
_SLOPE: Final = 0.25
_MOST: Final = 5  # stages; the smallest input has 32 pixels


class SmallResNet(Backbone):
    """One stage per width, each at half the side of the previous one.

    A stage is a convolution, 5x5 in the first and 3x3 after, max pooling, and residual blocks of
    two 3x3 convolutions.

    Args:
        dimension: length of an embedding.
        input_size: side of the crop, 32 pixels or more.
        crop_scale: size of the face in the crop.
        dropout: share of the features dropped in training, before the linear layer.
        widths: channels of each stage.
        blocks: residual blocks of each stage.
        head: ``depthwise`` or ``flatten``.
        width: multiplies the channels of every stage.

    Raises:
        OptionError: an option outside its range.
    """

    def __init__(
        self,
        *,
        dimension: int = 128,
        input_size: int = 96,
        crop_scale: float = 0.9,
        dropout: float = 0.0,
        widths: Sequence[int] = (16, 32, 64, 128),
        blocks: Sequence[int] = (0, 1, 1, 1),
        head: str = "flatten",
        width: float = 1.0,
    ) -> None:
        super().__init__()
        _check_stages(widths, blocks, head)
        self.spec = Spec(
            name="small_resnet",
            input_size=input_size,
            channels=1,
            crop_scale=crop_scale,
            dimension=dimension,
            mean=127.5,
            std=128.0,
            source=_SOURCE,
        )
        check_options(self.spec, dropout=dropout, smallest=32)
        widths = widened(widths, width)
        before, side = 1, input_size
        layers: list[nn.Module] = []
        for k, (channels, count) in enumerate(zip(widths, blocks, strict=True)):
            layers += [
                convolution(before, channels, _activation(), kernel=3 if k else 5),
                nn.MaxPool2d(2),
            ]
            layers.extend(_Residual(channels) for _ in range(count))
            before, side = channels, side // 2
        self.features = nn.Sequential(*layers)
        self.head = _HEAD[head](before, side, dimension, dropout)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=_SLOPE)
            elif isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 1, S, S)`` normalized to ``(N, dimension)``, not of unit length."""
        embeddings: Tensor = self.head(self.features(x))
        return embeddings


class _Residual(nn.Module):
    """Two 3x3 convolutions added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = convolution(channels, channels, _activation())
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.activation = _activation()

    def forward(self, x: Tensor) -> Tensor:
        """The same shape as ``x``."""
        y: Tensor = self.activation(x + self.bn(self.second(self.first(x))))
        return y


def _activation() -> nn.Module:
    return nn.LeakyReLU(_SLOPE, inplace=True)


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


def _check_stages(widths: Sequence[int], blocks: Sequence[int], head: str) -> None:
    if not 1 <= len(widths) <= _MOST or len(widths) != len(blocks) or min(widths) < 1:
        raise OptionError(
            f"small_resnet with widths {tuple(widths)} and blocks {tuple(blocks)}",
            f"give 1 to {_MOST} channel counts, 1 or more each, and as many block counts",
        )
    if min(blocks) < 0:
        raise OptionError(f"small_resnet with blocks {tuple(blocks)}", "give 0 or more")
    if head not in HEADS:
        raise OptionError(f"small_resnet with head {head!r}", f"choose {' or '.join(HEADS)}")
