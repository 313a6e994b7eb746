"""A backbone with what goes before and after it, and an embedder over it.

What is trained, saved and exported is a ``FaceNetwork``: gray conversion and normalization are in
the network, so its ONNX graph takes plain RGB pixels and is registered with mean 0 and std 1.
"""

from __future__ import annotations

import copy
import hashlib
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from visavis.embedding.backbones.spec import Backbone, Spec
from visavis.errors import ModelRefusedError, OptionError
from visavis.types import Crops, Vectors

_BATCH: Final = 32
_LUMA: Final = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow and OpenCV convert to gray


class FaceNetwork(nn.Module):
    """RGB crops of 0..255 in, embeddings out.

    Args:
        backbone: see ``visavis.embedding.backbones.build``.
        flip: ``forward`` averages the unit vectors of each crop and of its mirror image (then unit
            length again): twice the time, part of the exported graph.
    """

    def __init__(self, backbone: Backbone, *, flip: bool = False) -> None:
        super().__init__()
        self.backbone = backbone
        self.flip = flip

    @property
    def spec(self) -> Spec:
        """What the backbone wants and gives."""
        return self.backbone.spec

    def raw(self, images: Tensor) -> Tensor:
        """Embeddings as the backbone gives them, for losses.

        Args:
            images: ``(N, 3, S, S)`` RGB float of 0..255, S = ``spec.input_size``.

        Returns:
            ``(N, D)`` float32, not of unit length, of each crop alone (never flip-averaged).
        """
        spec = self.backbone.spec
        if spec.channels == 1:
            red, green, blue = (images[:, k : k + 1] * _LUMA[k] for k in range(3))
            images = red + green + blue
        # In one pass: a subtraction and a division take four times as long.
        middle = images.new_tensor(-spec.mean / spec.std)
        embeddings: Tensor = self.backbone(torch.add(middle, images, alpha=1 / spec.std))
        return embeddings.float()

    def forward(self, images: Tensor) -> Tensor:
        """Unit vectors.

        Args:
            images: as for ``raw``.

        Returns:
            ``(N, D)`` float32, rows of unit length.
        """
        vectors = functional.normalize(self.raw(images))
        if self.flip:
            mirrored = functional.normalize(self.raw(images.flip(3)))
            vectors = functional.normalize(vectors + mirrored)
        return vectors


def weights_sha256(network: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of all weights, in the order of the state dict.

    >>> weights_sha256(nn.Identity())[:8]
    'e3b0c442'
    """
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        array = value.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}\n".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class TorchEmbedder:
    """An embedder over a network that is not (yet) an ONNX file. Thread-safe.

    It works on a copy in evaluation mode: training the network on does not change it.

    Args:
        network: the network; its device is where crops are embedded.
        name: model name.
        sha256: hash of the model file; ``weights_sha256`` of the network when ``None``.
        batch: crops embedded at once.

    Raises:
        OptionError: a batch below 1.
    """

    def __init__(
        self,
        network: FaceNetwork,
        *,
        name: str,
        sha256: str | None = None,
        batch: int = _BATCH,
    ) -> None:
        if batch < 1:
            raise OptionError(f"batch {batch}", "choose 1 or more")
        self._network = copy.deepcopy(network).eval().requires_grad_(False)
        self._name = name
        self._sha256 = sha256 or weights_sha256(self._network)
        self._batch = batch

    @property
    def name(self) -> str:
        """Model name."""
        return self._name

    @property
    def sha256(self) -> str:
        """Hash of the model file, or of the weights."""
        return self._sha256

    @property
    def dimension(self) -> int:
        """Length of a template."""
        return self._network.spec.dimension

    @property
    def input_size(self) -> int:
        """Side of the square crop in pixels."""
        return self._network.spec.input_size

    def embed(self, crops: Crops, /) -> Vectors:
        """Unit vectors of aligned faces.

        Args:
            crops: ``(N, S, S, 3)`` RGB uint8 with S = ``input_size``; N may be 0.

        Returns:
            ``(N, D)`` float32, rows of unit length.

        Raises:
            OptionError: another shape or dtype.
            ModelRefusedError: the network returned a zero or non-finite vector.
        """
        crops = np.asarray(crops)
        size = self.input_size
        if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (size, size, 3):
            raise OptionError(
                f"crops of shape {crops.shape} and type {crops.dtype}",
                f"{self.name} takes (N, {size}, {size}, 3) RGB uint8",
            )
        parts = [self._embed(crops[k : k + self._batch]) for k in range(0, len(crops), self._batch)]
        return np.concatenate([np.zeros((0, self.dimension), dtype=np.float32), *parts])

    def _embed(self, crops: Crops) -> Vectors:
        pixels = np.array(crops.transpose(0, 3, 1, 2), dtype=np.float32, order="C")
        device = next((p.device for p in self._network.parameters()), torch.device("cpu"))
        with torch.inference_mode():
            tensor: Tensor = self._network(torch.from_numpy(pixels).to(device))
        vectors: Vectors = tensor.cpu().numpy()
        lengths = np.linalg.norm(vectors, axis=1)
        if not np.isfinite(lengths).all() or (lengths < 0.5).any():
            raise ModelRefusedError(
                f"model {self.name!r} returned a zero or non-finite vector",
                "train it again with a lower learning rate, or gradient clipping",
            )
        return vectors
