"""Inception-ResNet-V1, the network of facenet, in facenet-pytorch's naming.

Source: Szegedy, Ioffe, Vanhoucke, Alemi, "Inception-v4, Inception-ResNet and the Impact of Residual
Connections on Learning", AAAI 2017, as D. Sandberg's facenet has it (scaled residuals of 0.17, 0.10
and 0.20; batch normalization with eps 0.001; average pooling, dropout, a bottleneck without bias,
batch normalization). Modules and shapes are those of T. Esler's facenet-pytorch (MIT), whose
published state dicts load with ``load_state_dict`` as they are; their ``logits``, the classifier
of the training people, are left aside. Pixels: (x - 127.5) / 128. Initialization: Xavier, as in
facenet.

Parameters at 512 numbers: 23,482,624 (the 27.9 million of the published VGGFace2 file are these and
its classifier of 8,631 people). Input: 160x160 RGB (any side from 75).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from visavis.embedding.backbones.spec import Backbone, Spec, check_options

_SOURCE: Final = (
    "Szegedy et al., Inception-v4 and Inception-ResNet, AAAI 2017; D. Sandberg's facenet"
)

_Kernel = int | tuple[int, int]
_Branch = Sequence[tuple[int, _Kernel, int]]  # output channels, kernel, stride of each convolution


class InceptionResNetV1(Backbone):
    """Stem, 5 + 10 + 5 + 1 residual inception blocks, two reductions, bottleneck.

    Args:
        dimension: length of an embedding.
        input_size: side of the crop, 75 pixels or more.
        crop_scale: size of the face in the crop.
        dropout: share of the pooled features dropped in training.

    Raises:
        OptionError: an option outside its range.
    """

    def __init__(
        self,
        *,
        dimension: int = 512,
        input_size: int = 160,
        crop_scale: float = 0.9,
        dropout: float = 0.6,
    ) -> None:
        super().__init__()
        self.spec = Spec(
            name="inception_resnet_v1",
            input_size=input_size,
            channels=3,
            crop_scale=crop_scale,
            dimension=dimension,
            mean=127.5,
            std=128.0,
            source=_SOURCE,
        )
        check_options(self.spec, dropout=dropout, smallest=75)
        self.conv2d_1a = _Convolution(3, 32, 3, stride=2)
        self.conv2d_2a = _Convolution(32, 32, 3)
        self.conv2d_2b = _Convolution(32, 64, 3, padding=1)
        self.maxpool_3a = nn.MaxPool2d(3, stride=2)
        self.conv2d_3b = _Convolution(64, 80, 1)
        self.conv2d_4a = _Convolution(80, 192, 3)
        self.conv2d_4b = _Convolution(192, 256, 3, stride=2)
        self.repeat_1 = nn.Sequential(*(_block35() for _ in range(5)))
        self.mixed_6a = _Reduction(256, [[(384, 3, 2)], [(192, 1, 1), (192, 3, 1), (256, 3, 2)]])
        self.repeat_2 = nn.Sequential(*(_block17() for _ in range(10)))
        self.mixed_7a = _Reduction(
            896,
            [
                [(256, 1, 1), (384, 3, 2)],
                [(256, 1, 1), (256, 3, 2)],
                [(256, 1, 1), (256, 3, 1), (256, 3, 2)],
            ],
        )
        self.repeat_3 = nn.Sequential(*(_block8(scale=0.2) for _ in range(5)))
        self.block8 = _block8(scale=1.0, last=True)
        self.avgpool_1a = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.last_linear = nn.Linear(1792, dimension, bias=False)
        self.last_bn = nn.BatchNorm1d(dimension, eps=0.001)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.xavier_uniform_(module.weight)
        self.register_load_state_dict_pre_hook(_leave_logits)  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 3, S, S)`` normalized to ``(N, dimension)``, not of unit length."""
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(x)))
        x = self.conv2d_3b(self.maxpool_3a(x))
        x = self.conv2d_4b(self.conv2d_4a(x))
        x = self.mixed_6a(self.repeat_1(x))
        x = self.mixed_7a(self.repeat_2(x))
        x = self.block8(self.repeat_3(x))
        x = self.dropout(self.avgpool_1a(x).flatten(1))
        embeddings: Tensor = self.last_bn(self.last_linear(x))
        return embeddings


class _Convolution(nn.Module):
    """Convolution, batch normalization, ReLU."""

    def __init__(
        self,
        before: int,
        after: int,
        kernel: _Kernel,
        *,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(after, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """Features of ``x``."""
        return torch.relu(self.bn(self.conv(x)))


class _Residual(nn.Module):
    """Parallel branches, joined by a 1x1 convolution, scaled and added to the input."""

    def __init__(
        self, channels: int, branches: Sequence[_Branch], *, scale: float, last: bool = False
    ) -> None:
        super().__init__()
        self.scale = scale
        self.last = last
        self.count = len(branches)
        for k, branch in enumerate(branches):
            self.add_module(f"branch{k}", _branch(channels, branch))
        joined = sum(branch[-1][0] for branch in branches)
        self.conv2d = nn.Conv2d(joined, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape as ``x``; the last block of the network has no ReLU."""
        parts = [self.get_submodule(f"branch{k}")(x) for k in range(self.count)]
        y: Tensor = self.conv2d(torch.cat(parts, dim=1)) * self.scale + x
        return y if self.last else torch.relu(y)


class _Reduction(nn.Module):
    """Parallel branches of stride 2 and a max pooling."""

    def __init__(self, channels: int, branches: Sequence[_Branch]) -> None:
        super().__init__()
        self.count = len(branches) + 1
        for k, branch in enumerate(branches):
            self.add_module(f"branch{k}", _branch(channels, branch))
        self.add_module(f"branch{len(branches)}", nn.MaxPool2d(3, stride=2))

    def forward(self, x: Tensor) -> Tensor:
        """Features with half the side of ``x`` and more channels."""
        parts = [self.get_submodule(f"branch{k}")(x) for k in range(self.count)]
        return torch.cat(parts, dim=1)


def _branch(before: int, branch: _Branch) -> nn.Module:
    """One convolution or a sequence; convolutions of stride 1 keep the side."""
    layers = []
    for after, kernel, stride in branch:
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (sides[0] // 2, sides[1] // 2) if stride == 1 else 0
        layers.append(_Convolution(before, after, kernel, stride=stride, padding=padding))
        before = after
    return layers[0] if len(layers) == 1 else nn.Sequential(*layers)


def _block35() -> _Residual:
    branches = [
        [(32, 1, 1)],
        [(32, 1, 1), (32, 3, 1)],
        [(32, 1, 1), (32, 3, 1), (32, 3, 1)],
    ]
    return _Residual(256, branches, scale=0.17)


def _block17() -> _Residual:
    branches: list[_Branch] = [[(128, 1, 1)], [(128, 1, 1), (128, (1, 7), 1), (128, (7, 1), 1)]]
    return _Residual(896, branches, scale=0.1)


def _block8(*, scale: float, last: bool = False) -> _Residual:
    branches: list[_Branch] = [[(192, 1, 1)], [(192, 1, 1), (192, (1, 3), 1), (192, (3, 1), 1)]]
    return _Residual(1792, branches, scale=scale, last=last)


def _leave_logits(network: nn.Module, state: dict[str, Any], prefix: str, *_rest: object) -> None:
    """Drops the published classifier's weights, which are useless for other people."""
    for name in ("weight", "bias"):
        state.pop(f"{prefix}logits.{name}", None)
