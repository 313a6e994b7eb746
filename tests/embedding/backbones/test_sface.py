"""SFace in torch is SFace in ONNX."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from visavis.embedding.backbones.sface import SFace, pretrained
from visavis.embedding.onnx import OnnxEmbedder
from visavis.embedding.torch import FaceNetwork
from visavis.errors import ModelRefusedError
from visavis.faces import align
from visavis.faces.yunet import YuNet
from visavis.inference import load
from visavis.weights import WeightStore


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def file() -> bytes:
    return WeightStore().read("sface")


@pytest.fixture(scope="module")
def network() -> SFace:
    return pretrained()


@pytest.fixture(scope="module")
def crops(portrait: np.ndarray) -> np.ndarray:
    landmarks = YuNet(threads=1).detect(portrait)[0].landmarks
    face = align.crop(portrait, landmarks, scale=0.97)
    noise = np.random.default_rng(0).integers(0, 256, face.shape).astype(np.uint8)
    return np.stack([face, face[:, ::-1], face // 3, noise])


def test_outputs_are_those_of_the_onnx_file(network: SFace, file: bytes, crops: np.ndarray) -> None:
    pixels = np.ascontiguousarray(crops.transpose(0, 3, 1, 2), dtype=np.float32)
    (want,) = load(file, input_shape=("n", 3, 112, 112), threads=1).run(pixels)
    with torch.inference_mode():
        got = FaceNetwork(network).eval().raw(torch.from_numpy(pixels)).numpy()
    assert np.abs(want).max() > 1  # not of unit length yet
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_templates_are_those_of_the_default_embedder(network: SFace, crops: np.ndarray) -> None:
    embedder = OnnxEmbedder("sface")
    entry = WeightStore().entry("sface")
    spec = network.spec
    assert (spec.input_size, spec.dimension) == (entry.input_size, entry.dimension)
    assert spec.crop_scale == entry.crop_scale
    pixels = torch.from_numpy(crops.transpose(0, 3, 1, 2).astype(np.float32))
    with torch.inference_mode():
        got = FaceNetwork(network).eval()(pixels).numpy()
    np.testing.assert_allclose(got, embedder.embed(crops), atol=1e-4)


def test_every_weight_was_loaded(network: SFace, file: bytes) -> None:
    fresh = SFace().state_dict()
    for key, value in network.state_dict().items():
        if not key.endswith("num_batches_tracked") and key != "fc1.weight":
            assert not torch.equal(value, fresh[key]), key
    assert torch.allclose(network.fc1.weight, torch.ones(128), atol=1e-5)


def test_it_can_be_trained_on(crops: np.ndarray) -> None:
    network = FaceNetwork(pretrained(crop_scale=0.9, dropout=0.0)).train()
    assert network.spec.crop_scale == 0.9
    images = torch.from_numpy(crops[:2].transpose(0, 3, 1, 2).astype(np.float32))
    before = network.backbone.state_dict()["features.conv_1.conv2d.weight"].clone()
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    (network(images) * torch.linspace(-1, 1, 128)).sum().backward()
    optimizer.step()
    assert not torch.equal(before, network.backbone.state_dict()["features.conv_1.conv2d.weight"])


def test_other_sizes_are_refused(file: bytes) -> None:
    with pytest.raises(ModelRefusedError, match=r"pre_fc1_weight.*112"):
        SFace(input_size=64).load_onnx(file)
    with pytest.raises(ModelRefusedError, match="pre_fc1_weight"):
        SFace(dimension=64).load_onnx(file)


def test_a_graph_without_a_weight_is_refused(file: bytes) -> None:
    with pytest.raises(ModelRefusedError, match="conv_7_relu_gamma"):
        SFace().load_onnx(_without(file, "conv_7_relu_gamma"))


def _without(file: bytes, name: str) -> bytes:
    """The file with one weight under another name."""
    model = onnx.load_model_from_string(file)
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), "other"))
    for node in model.graph.node:
        node.input[:] = ["other" if one == name else one for one in node.input]
    return model.SerializeToString()
