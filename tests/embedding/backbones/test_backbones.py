"""What holds for every network."""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from visavis.embedding.backbones import HEADS, NAMES, WIDTHS, Backbone, build
from visavis.embedding.backbones.mobilenet_v1 import MobileNetV1
from visavis.embedding.torch import FaceNetwork
from visavis.errors import OptionError
from visavis.inference import RUNTIMES, load

SMALLEST = {"prelu_net": 64, "inception_resnet_v1": 75}
LIGHT = ("siamese_cnn", "prelu_net", "mobilenet_v1", "mobilefacenet", "small_resnet")
# iresnet50 is the class of iresnet18.
HEAVY = ("sface", "edge_mobilenet", "inception_resnet_v1", "iresnet18")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small(name: str, *, dropout: float = 0.0, seed: int = 0) -> Backbone:
    """The network at the smallest crop it takes, with 16 numbers, of a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(name, dimension=16, input_size=SMALLEST.get(name, 32), dropout=dropout)


def inputs(backbone: Backbone, count: int, *, seed: int = 1) -> torch.Tensor:
    spec = backbone.spec
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, spec.channels, spec.input_size, spec.input_size, generator=generator)


@cache
def settled(name: str) -> Backbone:
    """A small network in evaluation mode whose running means are those of its inputs.

    Of the blocks that a heavy network repeats, one is left.
    """
    backbone = small(name, dropout=0.5).train()
    for key in ("repeat_1", "repeat_2", "repeat_3"):
        if hasattr(backbone, key):
            setattr(backbone, key, getattr(backbone, key)[:1])
    for module in backbone.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.momentum = None  # a plain mean over the batches
    with torch.no_grad():
        for seed in range(2):
            backbone(inputs(backbone, 4, seed=seed))
    return backbone.eval().requires_grad_(False)


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_tells_the_parameters_and_the_input(name: str) -> None:
    with torch.device("meta"):
        backbone = build(name)
    text = sys.modules[type(backbone).__module__].__doc__ or ""
    count = sum(p.numel() for p in backbone.parameters())
    assert f"{count:,}" in re.split(r"\nParameters", text)[1]
    spec = backbone.spec
    colors = {1: "gray", 3: "RGB"}[spec.channels]
    assert f"Input: {spec.input_size}x{spec.input_size} {colors}" in " ".join(text.split())
    assert "Source: " in text
    assert spec.name == name
    assert spec.source
    assert spec.to_dict()["dimension"] == spec.dimension


@pytest.mark.parametrize("name", NAMES)
def test_shapes_at_other_sizes_and_dimensions(name: str) -> None:
    start = SMALLEST.get(name, 32)
    for size, dimension in ((start, 16), (start + 9, 7), (start + 24, 8)):
        with torch.device("meta"):
            backbone = build(name, input_size=size, dimension=dimension, crop_scale=0.93).eval()
            got = backbone(torch.empty(2, backbone.spec.channels, size, size))
        assert (backbone.spec.input_size, backbone.spec.crop_scale) == (size, 0.93)
        assert backbone.spec.dimension == dimension
        assert got.shape == (2, dimension)
        assert got.dtype == torch.float32


@pytest.mark.parametrize("name", LIGHT)
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    one, two, other = small(name), small(name), small(name, seed=5)
    for key, value in one.state_dict().items():
        torch.testing.assert_close(value, two.state_dict()[key], rtol=0, atol=0)
    x = inputs(one, 2)
    assert not torch.allclose(one(x), other(x))


@pytest.mark.parametrize("name", [*LIGHT, *HEAVY])
def test_every_weight_learns(name: str) -> None:
    backbone = copy.deepcopy(settled(name)).train().requires_grad_(True)
    target = torch.randn(4, 16, generator=torch.Generator().manual_seed(2))
    (backbone(inputs(backbone, 4)) * target).sum().backward()
    for key, parameter in backbone.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
        # A batch normalization takes away what a bias before it adds.
        assert key.endswith("bias") or parameter.grad.abs().max() > 1e-6, key


def test_only_gains_that_are_fixed_at_one_do_not_learn() -> None:
    for name in NAMES:
        with torch.device("meta"):
            frozen = [k for k, p in build(name).named_parameters() if not p.requires_grad]
        fixed = {"sface": "fc1.weight", "iresnet18": "features.weight"}
        fixed["iresnet50"] = fixed["iresnet18"]
        assert frozen == ([fixed[name]] if name in fixed else [])


@pytest.mark.parametrize("name", [*LIGHT, *HEAVY])
def test_dropout_is_for_training_only(name: str) -> None:
    backbone = copy.deepcopy(settled(name))
    x = inputs(backbone, 2)
    torch.testing.assert_close(backbone(x), backbone(x), rtol=0, atol=0)
    backbone.train()
    assert not torch.allclose(backbone(x), backbone(x))


@pytest.mark.parametrize("name", [*LIGHT, *HEAVY])
def test_a_row_depends_neither_on_its_batch_nor_on_the_memory_format(name: str) -> None:
    backbone = settled(name)
    x = inputs(backbone, 3)
    together = backbone(x)
    torch.testing.assert_close(together[2:], backbone(x[2:]), rtol=1e-4, atol=1e-4)
    other = copy.deepcopy(backbone).to(memory_format=torch.channels_last)
    got = other(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(got, together, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's exporter of TorchScript
@pytest.mark.parametrize("name", [*LIGHT, *HEAVY])
def test_tracing_and_export_give_the_same_numbers(name: str, tmp_path: Path) -> None:
    network = FaceNetwork(settled(name), flip=name == "prelu_net").eval()
    size = network.spec.input_size
    pixels = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(3)) * 255
    want = network(pixels)
    if name in LIGHT:
        traced = torch.jit.trace(network, pixels[:2], check_trace=False)
        torch.testing.assert_close(traced(pixels), want, rtol=0, atol=1e-5)
    file = tmp_path / f"{name}.onnx"
    torch.onnx.export(
        network,
        (pixels[:2],),
        file,
        input_names=["images"],
        output_names=["embeddings"],
        dynamic_axes={"images": {0: "n"}, "embeddings": {0: "n"}},
        opset_version=17,
        dynamo=False,
    )
    for runtime in RUNTIMES:
        session = load(file, runtime=runtime, threads=1)
        for count in (1, 3):
            (got,) = session.run(pixels[:count].numpy())
            np.testing.assert_allclose(got, want[:count].numpy(), atol=1e-4)


@pytest.mark.parametrize("name", ["prelu_net", "inception_resnet_v1", "iresnet18"])
def test_it_compiles_as_one_graph(name: str) -> None:
    network = FaceNetwork(settled(name)).eval()
    size = network.spec.input_size
    pixels = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(3)) * 255
    compiled = torch.compile(network, backend="eager", fullgraph=True, dynamic=False)
    torch.testing.assert_close(compiled(pixels), network(pixels), rtol=0, atol=1e-5)


def test_mobilenets_activation_can_be_the_papers() -> None:
    def kinds(**options: Any) -> set[type[nn.Module]]:
        modules = MobileNetV1(**options).modules()
        return {type(module) for module in modules} & {nn.ReLU6, nn.LeakyReLU}

    assert kinds() == {nn.LeakyReLU}
    assert kinds(slope=0.0) == {nn.ReLU6}
    for slope in (-0.1, 1.0):
        with pytest.raises(OptionError, match=f"slope {slope}"):
            MobileNetV1(slope=slope)


def test_a_name_may_be_written_with_hyphens() -> None:
    assert build("small-resnet").spec.name == "small_resnet"


def test_unknown_names_are_refused_with_near_ones() -> None:
    with pytest.raises(OptionError, match="mobilenet_v1"):
        build("mobilenet")
    with pytest.raises(OptionError, match=r"siamese_cnn.*small_resnet"):
        build("???")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dimension": 1}, "dimension 1"),
        ({"dropout": 1.0}, "dropout 1.0"),
        ({"dropout": -0.1}, "dropout -0.1"),
        ({"input_size": 16}, "input size 16"),
    ],
)
def test_options_that_no_network_takes(name: str, options: dict, words: str) -> None:
    with pytest.raises(OptionError, match=f"{name}.*{words}"):
        build(name, **options)


@pytest.mark.parametrize("name", WIDTHS)
def test_half_as_wide(name: str) -> None:
    with torch.device("meta"):
        whole, half = build(name), build(name, width=0.5)
    ratio = sum(p.numel() for p in half.parameters()) / sum(p.numel() for p in whole.parameters())
    # Convolutions shrink by four, a linear layer to the embedding by two.
    assert 0.2 < ratio < 0.55
    assert half.spec.dimension == whole.spec.dimension
    with pytest.raises(OptionError, match="width 9"):
        build(name, width=9)


@pytest.mark.parametrize(("name", "head"), [(name, head) for name in HEADS for head in HEADS[name]])
def test_each_head_embeds_and_only_the_average_is_blind_to_places(name: str, head: str) -> None:
    torch.manual_seed(0)
    network = build(name, head=head, input_size=70, dimension=16, width=0.25).eval()
    maps = network.features(torch.randn(2, network.spec.channels, 70, 70))
    network.features = torch.nn.Identity()
    embeddings = network(maps)
    assert embeddings.shape == (2, 16)
    blind = torch.allclose(network(maps.flip(3)), embeddings, atol=1e-5)
    assert blind == (head == "average")


def test_the_first_head_is_the_networks_own() -> None:
    for name, heads in HEADS.items():
        torch.manual_seed(0)
        given = build(name, head=heads[0], width=0.25).state_dict()
        torch.manual_seed(0)
        own = build(name, width=0.25).state_dict()
        assert {k: v.shape for k, v in given.items()} == {k: v.shape for k, v in own.items()}


def test_a_head_that_a_network_does_not_have_is_refused() -> None:
    with pytest.raises(OptionError, match=r"depthwise.*mobilenet_v1.*flatten"):
        build("mobilenet_v1", head="depthwise")
    with pytest.raises(OptionError, match=r"flatten.*sface.*none"):
        build("sface", head="flatten")


def test_networks_of_one_width_refuse_another() -> None:
    with pytest.raises(OptionError, match="mobilenet_v1, prelu_net"):
        build("siamese_cnn", width=0.5)
