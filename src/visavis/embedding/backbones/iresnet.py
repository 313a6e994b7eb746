"""The improved residual networks of insightface, in its naming.

Source: Deng, Guo, Xue, Zafeiriou, "ArcFace: Additive Angular Margin Loss for Deep Face
Recognition", CVPR 2019, section 3.1 and its supplement; the block is BN, convolution, BN, PReLU,
convolution, BN (Han, Kim, Kim, "Deep Pyramidal Residual Networks", CVPR 2017), the stem keeps the
full 112x112, and the head is BN, dropout, a linear layer over the whole 7x7 map, BN ("option E").
Modules and shapes are those of insightface's ``arcface_torch`` (``iresnet18``, ``iresnet50``), so
its state dicts load with ``load_state_dict``; as there, convolutions start normal with deviation
0.1 and the gains of the last batch normalization are fixed at 1. Pixels: (x - 127.5) / 127.5.

Parameters at 512 numbers: 24,025,600 (18 layers), 43,590,848 (50 layers). Input: 112x112 RGB (any
side from 32; state dicts fit the side that they were trained at).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from torch import Tensor, nn

from visavis.embedding.backbones.spec import Backbone, Spec, check_options, halved

_SOURCE: Final = "Deng et al., ArcFace, CVPR 2019; insightface arcface_torch"
_WIDTHS: Final = (64, 128, 256, 512)


class IResNet(Backbone):
    """A stem of stride 1 and four stages, each at half the side of the one before.

    Args:
        name: name for the spec.
        blocks: blocks of each of the four stages.
        dimension: length of an embedding.
        input_size: side of the crop, 32 pixels or more.
        crop_scale: size of the face in the crop.
        dropout: share of the features dropped in training.

    Raises:
        OptionError: an option outside its range.
    """

    def __init__(
        self,
        name: str,
        blocks: Sequence[int],
        *,
        dimension: int = 512,
        input_size: int = 112,
        crop_scale: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.spec = Spec(
            name=name,
            input_size=input_size,
            channels=3,
            crop_scale=crop_scale,
            dimension=dimension,
            mean=127.5,
            std=127.5,
            source=_SOURCE,
        )
        check_options(self.spec, dropout=dropout, smallest=32)
        self.conv1 = nn.Conv2d(3, _WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_WIDTHS[0])
        self.prelu = nn.PReLU(_WIDTHS[0])
        self.layer1 = _stage(_WIDTHS[0], _WIDTHS[0], blocks[0])
        self.layer2 = _stage(_WIDTHS[0], _WIDTHS[1], blocks[1])
        self.layer3 = _stage(_WIDTHS[1], _WIDTHS[2], blocks[2])
        self.layer4 = _stage(_WIDTHS[2], _WIDTHS[3], blocks[3])
        self.bn2 = nn.BatchNorm2d(_WIDTHS[3])
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(_WIDTHS[3] * halved(input_size, 4) ** 2, dimension)
        self.features = nn.BatchNorm1d(dimension)
        self.features.weight.requires_grad_(False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.1)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 3, S, S)`` normalized to ``(N, dimension)``, not of unit length."""
        x = self.prelu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = self.dropout(self.bn2(x)).flatten(1)
        embeddings: Tensor = self.features(self.fc(x))
        return embeddings


iresnet18: Final = partial(IResNet, "iresnet18", (2, 2, 2, 2))
"""Two blocks a stage. Arguments as ``IResNet``."""

iresnet50: Final = partial(IResNet, "iresnet50", (3, 4, 14, 3))
"""3, 4, 14 and 3 blocks. Arguments as ``IResNet``."""


class _Block(nn.Module):
    """BN, convolution, BN, PReLU, convolution, BN, added to the input."""

    def __init__(self, before: int, after: int, *, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.prelu = nn.PReLU(after)
        self.conv2 = nn.Conv2d(after, after, 3, stride=stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(after)
        self.downsample: nn.Module | None = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Features of ``x``."""
        y: Tensor = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))
        return y + (x if self.downsample is None else self.downsample(x))


def _stage(before: int, after: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(
        _Block(before, after, stride=2),
        *(_Block(after, after, stride=1) for _ in range(blocks - 1)),
    )
