"""Builds ONNX graphs of MTCNN's three networks from the Keras arrays.

K. Zhang, Z. Zhang, Z. Li, Y. Qiao, "Joint face detection and alignment using multitask cascaded
convolutional networks", IEEE Signal Processing Letters 23(10), 2016.

Details of the conversion:

- kernels are (row, column, in, out) in Keras and (out, in, row, column) in ONNX;
- images are rows by columns, as usual. The weights come from networks trained on transposed images;
  in these files the kernels are already transposed, and only the order in which the last feature
  map is flattened shows it (column, row, channel). The rows of the first dense layer are reordered
  to ONNX's order (channel, row, column) here, so the graph needs no transpose;
- inputs are normalized as (value - 127.5) / 128. The first layer has no padding, so its weights
  absorb the normalization, and the graphs take values of 0 to 255.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from visavis.errors import ModelDamagedError, require_extra

if TYPE_CHECKING:
    from visavis.weights import WeightStore


Arrays = Sequence[NDArray[np.float32]]
Step = tuple[str, tuple[int, ...]]

# A layer is (kind, numbers): conv (kernel, out), pool (window, keeps a partial last window),
# dense (out, and for the first one the rows, columns and channels that are flattened).
_LAYERS: Final[dict[str, tuple[Step, ...]]] = {
    "pnet": (
        ("conv", (3, 10)),
        ("pool", (2, 1)),
        ("conv", (3, 16)),
        ("conv", (3, 32)),
    ),
    "rnet": (
        ("conv", (3, 28)),
        ("pool", (3, 1)),
        ("conv", (3, 48)),
        ("pool", (3, 0)),
        ("conv", (2, 64)),
        ("dense", (128, 3, 3, 64)),
    ),
    "onet": (
        ("conv", (3, 32)),
        ("pool", (3, 1)),
        ("conv", (3, 64)),
        ("pool", (3, 0)),
        ("conv", (3, 64)),
        ("pool", (2, 1)),
        ("conv", (2, 128)),
        ("dense", (256, 3, 3, 128)),
    ),
}
_HEADS: Final[dict[str, tuple[tuple[str, int], ...]]] = {
    "pnet": (("offsets", 4), ("probability", 2)),
    "rnet": (("offsets", 4), ("probability", 2)),
    "onet": (("offsets", 4), ("landmarks", 10), ("probability", 2)),
}
INPUT_SIDE: Final = {"pnet": 12, "rnet": 24, "onet": 48}
"""Window side of each network in pixels. ``pnet`` slides its window over an image of any size."""


def build(network: str, arrays: Arrays) -> bytes:
    """Returns the serialized ONNX graph of one network.

    Input ``image``: (N, 3, H, W) float32 RGB, 0 to 255; H and W are free for ``pnet``, 24 for
    ``rnet``, 48 for ``onet``. Outputs, in this order: ``offsets`` (x1, y1, x2, y2 in units of the
    window's side), for ``onet`` ``landmarks`` (five x, then five y, in units of the window), and
    ``probability`` (no face, face). For ``pnet`` each output has two more axes, one entry for each
    place of the window, two pixels apart.

    Args:
        network: ``pnet``, ``rnet`` or ``onet``.
        arrays: its weights in the order of the Keras layers.

    Raises:
        ModelDamagedError: the arrays are not those of the network.
    """
    graph = _Graph(network, arrays)
    for kind, numbers in _LAYERS[network]:
        graph.layer(kind, numbers)
    for name, width in _HEADS[network]:
        graph.head(name, width)
    return graph.serialized()


class _Graph:
    """Builds a graph layer by layer from a list of arrays."""

    def __init__(self, network: str, arrays: Arrays) -> None:
        self._network = network
        self._arrays = list(arrays)
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._outputs: list[Any] = []
        self._at = "image"
        self._channels = 3

    def layer(self, kind: str, numbers: tuple[int, ...]) -> None:
        if kind == "pool":
            window, partial = numbers
            self._node(
                "MaxPool",
                [],
                kernel_shape=[window, window],
                strides=[2, 2],
                auto_pad="SAME_UPPER" if partial else "VALID",
            )
            return
        if kind == "conv":
            window, out = numbers
            self._conv(window, out)
            slope = self._take(1, 1, out).reshape(out, 1, 1)
        else:
            out, rows, columns, channels = numbers
            self._node("Flatten", [])
            weight = self._take(rows * columns * channels, out)
            weight = weight.reshape(columns, rows, channels, out).transpose(2, 1, 0, 3)
            self._node("Gemm", [weight.reshape(-1, out), self._take(out)])
            slope = self._take(out)
        self._node("PRelu", [slope])
        self._channels = out

    def head(self, name: str, width: int) -> None:
        trunk = self._at
        if self._network == "pnet":
            self._conv(1, width)
        else:
            self._node("Gemm", [self._take(self._channels, width), self._take(width)])
        if name == "probability":
            self._node("Softmax", [], axis=1)
        self._nodes[-1].output[0] = name
        self._outputs.append((name, width))
        self._at = trunk

    def serialized(self) -> bytes:
        from onnx import TensorProto, helper

        if self._arrays:
            raise self._wrong(f"{len(self._arrays)} arrays too many")
        slides = self._network == "pnet"
        side = INPUT_SIDE[self._network]
        size = ["height", "width"] if slides else [side, side]
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, *size])
        places = ["rows", "columns"] if slides else []
        outputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width, *places])
            for name, width in self._outputs
        ]
        graph = helper.make_graph(self._nodes, self._network, [image], outputs, self._weights)
        opset = [helper.make_opsetid("", 17)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=8)
        return bytes(model.SerializeToString())

    def _conv(self, window: int, out: int) -> None:
        weight = self._take(window, window, self._channels, out).transpose(3, 2, 0, 1)
        bias = self._take(out)
        if self._at == "image":
            weight = weight / np.float32(128)
            bias = bias - weight.sum((1, 2, 3)) * np.float32(127.5)
        self._node("Conv", [weight, bias])

    def _node(self, kind: str, arrays: list[NDArray[np.float32]], **attributes: Any) -> None:
        from onnx import helper, numpy_helper

        names = []
        for array in arrays:
            names.append(f"w{len(self._weights)}")
            numbers = np.ascontiguousarray(array, dtype=np.float32)
            self._weights.append(numpy_helper.from_array(numbers, names[-1]))
        output = f"x{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, [self._at, *names], [output], **attributes))
        self._at = output

    def _take(self, *shape: int) -> NDArray[np.float32]:
        if not self._arrays:
            raise self._wrong("too few arrays")
        array = self._arrays.pop(0)
        if array.shape != shape:
            raise self._wrong(f"an array of shape {array.shape} where {shape} belongs")
        return array

    def _wrong(self, what: str) -> ModelDamagedError:
        return ModelDamagedError(
            f"weights of mtcnn-{self._network}: {what}",
            "fetch them again: visavis models fetch mtcnn-" + self._network,
        )


def read_arrays(model: str, store: WeightStore) -> list[NDArray[np.float32]]:
    """Returns the float32 arrays of one weight file, in the order of the Keras layers.

    A joblib dump is a pickle, which can execute code; only bytes with the built-in hash are read.

    Raises:
        MissingExtraError: the ``lz4`` package is not installed.
        ModelUnavailableError, ModelDamagedError: from the store.
    """
    data = store.read(model)
    require_extra("mtcnn", "the detector 'mtcnn'")  # joblib unpacks with lz4
    import joblib

    arrays: list[NDArray[np.float32]] = joblib.load(io.BytesIO(data))
    return arrays
