"""SFace's network, for SFace's weights.

Source: Zhong, Deng, Hu, Zhao, Li, Wen, "SFace: Sigmoid-Constrained Hypersphere Loss for Robust
Face Recognition", IEEE Transactions on Image Processing 30, 2021 (arXiv:2205.12010); the layers
are read from the OpenCV Zoo's ``face_recognition_sface_2021dec``: a MobileNetV1 for 112x112
crops (the first convolution has stride 1, fourteen pairs of a depthwise and a pointwise
convolution), batch normalization and PReLU after every convolution, then batch normalization,
dropout of 0.4, a linear layer over the whole 7x7 map, and batch normalization with its gains fixed
at 1. Module names follow the graph's. The graph's own normalization of pixels, (x - 127.5) / 128,
is the spec's mean and std. He initialization for the convolutions where no weights are loaded.

Parameters: 9,642,880, of which 6,422,656 are in the linear layer. Input: 112x112 RGB, crop
scale 0.97 (any side from 32, but only 112 takes the registered weights).
"""

from __future__ import annotations

from typing import Any, Final

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from visavis.embedding.backbones.mobilenet_v1 import PAIRS
from visavis.embedding.backbones.spec import Backbone, Spec, check_options, halved
from visavis.errors import ModelRefusedError
from visavis.inference.folding import folded
from visavis.weights import WeightStore

_SOURCE: Final = "Zhong et al., SFace, IEEE TIP 30, 2021; layers of the OpenCV Zoo's file"


class SFace(Backbone):
    """MobileNetV1 with PReLU and a linear layer over the whole last feature map.

    Args:
        dimension: length of an embedding.
        input_size: side of the crop, 32 pixels or more.
        crop_scale: size of the face in the crop.
        dropout: share of the features dropped in training.

    Raises:
        OptionError: an option outside its range.
    """

    def __init__(
        self,
        *,
        dimension: int = 128,
        input_size: int = 112,
        crop_scale: float = 0.97,
        dropout: float = 0.4,
    ) -> None:
        super().__init__()
        self.spec = Spec(
            name="sface",
            input_size=input_size,
            channels=3,
            crop_scale=crop_scale,
            dimension=dimension,
            mean=127.5,
            std=128.0,
            source=_SOURCE,
        )
        check_options(self.spec, dropout=dropout, smallest=32)
        self.features = nn.Sequential()
        self.features.add_module("conv_1", _Convolution(3, 32, kernel=3, stride=1))
        before = 32
        for k, (after, stride) in enumerate(PAIRS, start=2):
            self.features.add_module(
                f"conv_{k}_dw", _Convolution(before, before, kernel=3, stride=stride, groups=before)
            )
            self.features.add_module(f"conv_{k}", _Convolution(before, after, kernel=1))
            before = after
        side = halved(input_size, sum(stride == 2 for _, stride in PAIRS))
        self.bn1 = nn.BatchNorm2d(before, eps=2e-5)
        self.dropout = nn.Dropout(dropout)
        self.pre_fc1 = nn.Linear(before * side * side, dimension)
        self.fc1 = nn.BatchNorm1d(dimension, eps=2e-5)
        self.fc1.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 3, S, S)`` normalized to ``(N, dimension)``, not of unit length."""
        x = self.dropout(self.bn1(self.features(x))).flatten(1)
        embeddings: Tensor = self.fc1(self.pre_fc1(x))
        return embeddings

    def load_onnx(self, graph: bytes) -> None:
        """Loads the weights of SFace's ONNX file, quantized or not.

        Args:
            graph: the file's bytes.

        Raises:
            ModelRefusedError: the graph has other layers than this network.
        """
        arrays = _initializers(graph)
        with torch.no_grad():
            for path, module in self.named_modules():
                for attribute, ending in _ENDINGS.get(type(module), {}).items():
                    value = getattr(module, attribute)
                    if value is None:
                        continue
                    name = f"{path.removeprefix('features.').replace('.', '_')}_{ending}"
                    found = next((arrays[name + e] for e in _UNPACKED if name + e in arrays), None)
                    if found is None or found.size != value.numel():
                        got = "no such weight" if found is None else f"shape {found.shape}"
                        raise ModelRefusedError(
                            f"an ONNX graph with {got} for {name}, of {tuple(value.shape)}",
                            "give an SFace file, and the network 128 numbers at 112 pixels",
                        )
                    value.copy_(torch.tensor(found, dtype=value.dtype).reshape(value.shape))


def pretrained(
    model: str = "sface",
    *,
    store: WeightStore | None = None,
    crop_scale: float = 0.97,
    dropout: float = 0.4,
) -> SFace:
    """Creates SFace with the weights of a registered model, for fine-tuning.

    Args:
        model: registered name of an SFace file.
        store: source of model files; ``None``: the default store.
        crop_scale: size of the face in the crop; the registered model's is 0.97.
        dropout: share of the features dropped in training.

    Raises:
        UnknownModelError, ModelUnavailableError, ModelDamagedError: from the store.
        ModelRefusedError: the model's graph is not SFace's.
    """
    network = SFace(crop_scale=crop_scale, dropout=dropout)
    network.load_onnx((store or WeightStore()).read(model))
    return network


class _Convolution(nn.Module):
    """Convolution, batch normalization, PReLU."""

    def __init__(
        self, before: int, after: int, *, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(
            before,
            after,
            kernel,
            stride=stride,
            padding=kernel // 2,
            groups=groups,
            bias=False,
        )
        self.batchnorm = nn.BatchNorm2d(after, eps=1e-3)
        self.relu = nn.PReLU(after)
        nn.init.kaiming_normal_(self.conv2d.weight, a=0.25)

    def forward(self, x: Tensor) -> Tensor:
        """Features of ``x``."""
        y: Tensor = self.relu(self.batchnorm(self.conv2d(x)))
        return y


_NORM: Final = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_var",
}
_ENDINGS: Final[dict[type[nn.Module], dict[str, str]]] = {
    nn.Conv2d: {"weight": "weight", "bias": "bias"},
    nn.Linear: {"weight": "weight", "bias": "bias"},
    nn.PReLU: {"weight": "gamma"},
    nn.BatchNorm1d: _NORM,
    nn.BatchNorm2d: _NORM,
}
_UNPACKED: Final = (
    "_reshaped",
    "_dequantized",
    "",
)  # suffix that dequantizing appends to a weight's name


def _initializers(graph: bytes) -> dict[str, NDArray[Any]]:
    """Weights by name, including dequantized ones."""
    import onnx

    unpacked = onnx.load_model_from_string(folded(graph))
    return {
        t.name: onnx.numpy_helper.to_array(t)
        for t in (
            *onnx.load_model_from_string(graph).graph.initializer,
            *unpacked.graph.initializer,
        )
    }
