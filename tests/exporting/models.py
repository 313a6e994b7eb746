"""Tiny models to export: a drawn ONNX graph, and a model directory of a torch network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tests.training import tiny

from visavis.weights import ModelEntry
from visavis.weights.files import sha256_of

SIZE = 16
DIMENSION = 8


def graph(path: Path, *, layout: str = "NCHW", seed: int = 1) -> Path:
    """A convolution with batch normalization and PReLU, and a linear layer."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.3, shape).astype(np.float32)

    weights = {
        "w": draw(6, 3, 3, 3), "g": 1 + draw(6), "b": draw(6), "m": draw(6),
        "v": 1 + np.abs(draw(6)), "s": np.abs(draw(6, 1, 1)), "f": draw(6 * 64, DIMENSION),
    }  # fmt: skip
    first = "x"
    nodes = []
    if layout == "NHWC":
        nodes.append(helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]))
        first = "t"
    nodes += [
        helper.make_node(
            "Conv", [first, "w"], ["c"], kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2]
        ),
        helper.make_node("BatchNormalization", ["c", "g", "b", "m", "v"], ["n"]),
        helper.make_node("PRelu", ["n", "s"], ["p"]),
        helper.make_node("Flatten", ["p"], ["l"]),
        helper.make_node("Gemm", ["l", "f"], ["y"]),
    ]
    shape = ["n", SIZE, SIZE, 3] if layout == "NHWC" else ["n", 3, SIZE, SIZE]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "tiny",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", DIMENSION])],
            [numpy_helper.from_array(value, name) for name, value in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    onnx.save(model, path)
    return path


def directory(path: Path) -> Path:
    """A model directory as ``visavis train`` writes it, of an untrained network."""
    import torch
    from safetensors.torch import save_file

    from visavis.embedding.torch import FaceNetwork
    from visavis.training.outcome.model_file import write_onnx

    tiny.register()
    torch.manual_seed(0)
    network = FaceNetwork(tiny.Tiny()).eval()
    path.mkdir(parents=True)
    write_onnx(network, path / "model.onnx")
    save_file(network.state_dict(), path / "weights.safetensors")
    spec = network.spec
    entry = ModelEntry(
        name="tiny",
        kind="embedder",
        filename="model.onnx",
        sha256=sha256_of(path / "model.onnx", afresh=True),
        size=(path / "model.onnx").stat().st_size,
        license="LicenseRef-Test",
        use="tests",
        input_size=spec.input_size,
        dimension=spec.dimension,
        crop_scale=spec.crop_scale,
    )
    described = {
        "schema": 1,
        "model": entry.to_dict(),
        "network": {
            "backbone": "tiny", "dimension": 8, "input_size": 16, "crop_scale": 0.9,
            "dropout": 0.0, "width": 1.0, "head": None, "flip_embedding": False,
        },
    }  # fmt: skip
    (path / "model.json").write_text(json.dumps(described))
    return path


def photos(folder: Path, portrait: np.ndarray, count: int, *, people: int = 1) -> Path:
    """The portrait's head in many lights, ``count`` for each person, in a folder each."""
    from PIL import Image

    rng = np.random.default_rng(people)
    head = Image.fromarray(portrait).crop((130, 20, 330, 220))
    for person in range(people):
        place = folder / f"{person:02}"
        place.mkdir(parents=True)
        order = rng.permutation(3)
        for k in range(count):
            shape = head.resize([int(n) for n in rng.integers(100, 180, 2)])
            pixels = np.asarray(shape)[..., order] * rng.uniform(0.6, 1)
            Image.fromarray(pixels.astype(np.uint8)).save(place / f"{k}.png")
    return folder
