"""A backbone with pre- and postprocessing.

``FaceNetwork`` is trained, saved and exported. Gray conversion and normalization are in the
network, so its ONNX graph takes plain RGB pixels and is registered with mean 0 and std 1.
"""

from __future__ import annotations

import copy
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from visavis.embedding.backbones.spec import Backbone, Spec

_LUMA: Final = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow and OpenCV convert to gray


class FaceNetwork(nn.Module):
    """Maps RGB crops of 0..255 to embeddings.

    Args:
        backbone: see ``visavis.embedding.backbones.build``.
        flip: ``forward`` averages the unit vectors of each crop and its mirror image (normalized
            again): twice the time, part of the exported graph.
    """

    def __init__(self, backbone: Backbone, *, flip: bool = False) -> None:
        super().__init__()
        self.backbone = backbone
        self.flip = flip

    @property
    def spec(self) -> Spec:
        """Input and output of the backbone."""
        return self.backbone.spec

    def raw(self, images: Tensor) -> Tensor:
        """Returns the backbone's embeddings, for losses.

        Args:
            images: ``(N, 3, S, S)`` RGB float of 0..255, S = ``spec.input_size``.

        Returns:
            ``(N, D)`` float32, not of unit length, never flip-averaged.
        """
        spec = self.backbone.spec
        if spec.channels == 1:
            red, green, blue = (images[:, k : k + 1] * _LUMA[k] for k in range(3))
            images = red + green + blue
        # One fused pass: a subtraction and a division take four times as long.
        middle = images.new_tensor(-spec.mean / spec.std)
        embeddings: Tensor = self.backbone(torch.add(middle, images, alpha=1 / spec.std))
        return embeddings.float()

    def forward(self, images: Tensor) -> Tensor:
        """Returns unit vectors.

        Args:
            images: see ``raw``.

        Returns:
            ``(N, D)`` float32, rows of unit length.
        """
        vectors = functional.normalize(self.raw(images))
        if self.flip:
            mirrored = functional.normalize(self.raw(images.flip(3)))
            vectors = functional.normalize(vectors + mirrored)
        return vectors


class HalfNetwork(nn.Module):
    """A network with FP16 weights and arithmetic, and float32 input and output.

    Args:
        network: in evaluation mode; it is not changed.
    """

    def __init__(self, network: FaceNetwork) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).half()

    def forward(self, images: Tensor) -> Tensor:
        """Returns unit vectors, ``(N, D)`` float32; ``images`` as for ``FaceNetwork.raw``."""
        vectors: Tensor = self.network(images.half())
        return vectors.float()
