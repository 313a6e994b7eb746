"""State dicts of facenet-pytorch's and insightface's naming load strictly.

The lists of names and shapes are written down anew here, from the published models' layers.
"""

from __future__ import annotations

import pytest
import torch

from visavis.embedding.backbones import build

Shapes = dict[str, tuple[int, ...]]


def norm(name: str, channels: int) -> Shapes:
    shapes: Shapes = {
        f"{name}.{key}": (channels,) for key in ("weight", "bias", "running_mean", "running_var")
    }
    return shapes | {f"{name}.num_batches_tracked": ()}


def conv(name: str, before: int, after: int, high: int = 1, wide: int = 0) -> Shapes:
    """facenet-pytorch's BasicConv2d."""
    shapes: Shapes = {f"{name}.conv.weight": (after, before, high, wide or high)}
    return shapes | norm(f"{name}.bn", after)


def joined(name: str, before: int, after: int) -> Shapes:
    return {f"{name}.conv2d.weight": (after, before, 1, 1), f"{name}.conv2d.bias": (after,)}


def facenet_pytorch(classes: int) -> Shapes:
    """InceptionResnetV1: 714 entries, and two of the classifier of the training people."""
    shapes = conv("conv2d_1a", 3, 32, 3) | conv("conv2d_2a", 32, 32, 3)
    shapes |= conv("conv2d_2b", 32, 64, 3) | conv("conv2d_3b", 64, 80)
    shapes |= conv("conv2d_4a", 80, 192, 3) | conv("conv2d_4b", 192, 256, 3)
    for k in range(5):
        block = f"repeat_1.{k}"
        shapes |= conv(f"{block}.branch0", 256, 32)
        shapes |= conv(f"{block}.branch1.0", 256, 32) | conv(f"{block}.branch1.1", 32, 32, 3)
        shapes |= conv(f"{block}.branch2.0", 256, 32) | conv(f"{block}.branch2.1", 32, 32, 3)
        shapes |= conv(f"{block}.branch2.2", 32, 32, 3) | joined(block, 96, 256)
    shapes |= conv("mixed_6a.branch0", 256, 384, 3) | conv("mixed_6a.branch1.0", 256, 192)
    shapes |= conv("mixed_6a.branch1.1", 192, 192, 3) | conv("mixed_6a.branch1.2", 192, 256, 3)
    for k in range(10):
        block = f"repeat_2.{k}"
        shapes |= conv(f"{block}.branch0", 896, 128) | conv(f"{block}.branch1.0", 896, 128)
        shapes |= conv(f"{block}.branch1.1", 128, 128, 1, 7)
        shapes |= conv(f"{block}.branch1.2", 128, 128, 7, 1) | joined(block, 256, 896)
    shapes |= conv("mixed_7a.branch0.0", 896, 256) | conv("mixed_7a.branch0.1", 256, 384, 3)
    shapes |= conv("mixed_7a.branch1.0", 896, 256) | conv("mixed_7a.branch1.1", 256, 256, 3)
    shapes |= conv("mixed_7a.branch2.0", 896, 256) | conv("mixed_7a.branch2.1", 256, 256, 3)
    shapes |= conv("mixed_7a.branch2.2", 256, 256, 3)
    for block in (*(f"repeat_3.{k}" for k in range(5)), "block8"):
        shapes |= conv(f"{block}.branch0", 1792, 192) | conv(f"{block}.branch1.0", 1792, 192)
        shapes |= conv(f"{block}.branch1.1", 192, 192, 1, 3)
        shapes |= conv(f"{block}.branch1.2", 192, 192, 3, 1) | joined(block, 384, 1792)
    shapes |= {"last_linear.weight": (512, 1792)} | norm("last_bn", 512)
    return shapes | {"logits.weight": (classes, 512), "logits.bias": (classes,)}


def insightface(blocks: tuple[int, ...]) -> Shapes:
    """arcface_torch's IResNet at 112 pixels."""
    shapes: Shapes = {"conv1.weight": (64, 3, 3, 3), "prelu.weight": (64,)} | norm("bn1", 64)
    before = 64
    for stage, (after, count) in enumerate(zip((64, 128, 256, 512), blocks, strict=True), start=1):
        for k in range(count):
            block = f"layer{stage}.{k}"
            shapes |= norm(f"{block}.bn1", before) | norm(f"{block}.bn2", after)
            shapes |= norm(f"{block}.bn3", after) | {f"{block}.prelu.weight": (after,)}
            shapes |= {f"{block}.conv1.weight": (after, before, 3, 3)}
            shapes |= {f"{block}.conv2.weight": (after, after, 3, 3)}
            if k == 0:
                shapes |= {f"{block}.downsample.0.weight": (after, before, 1, 1)}
                shapes |= norm(f"{block}.downsample.1", after)
            before = after
    shapes |= norm("bn2", 512) | norm("features", 512)
    return shapes | {"fc.weight": (512, 512 * 7 * 7), "fc.bias": (512,)}


def numbers(shapes: Shapes) -> int:
    """Parameters: what is not a running mean, variance or count."""
    total = 0
    for name, shape in shapes.items():
        if "running" not in name and "tracked" not in name:
            total += torch.Size(shape).numel()
    return total


@pytest.mark.parametrize(
    ("name", "shapes", "parameters"),
    [
        ("inception_resnet_v1", facenet_pytorch(8631), 27_910_327),
        ("iresnet18", insightface((2, 2, 2, 2)), 24_025_600),
        ("iresnet50", insightface((3, 4, 14, 3)), 43_590_848),
    ],
)
def test_names_and_shapes_are_the_published_ones(
    name: str, shapes: Shapes, parameters: int
) -> None:
    assert numbers(shapes) == parameters
    with torch.device("meta"):
        network = build(name)
        state = {
            key: torch.empty(shape, dtype=torch.long if "tracked" in key else torch.float32)
            for key, shape in shapes.items()
        }
    network.load_state_dict(state, strict=True, assign=True)
    ours = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    assert ours == {k: v for k, v in shapes.items() if not k.startswith("logits")}


def test_the_classifier_may_be_missing_but_nothing_else() -> None:
    with torch.device("meta"):
        network = build("inception_resnet_v1")
    state = network.state_dict()
    assert len(state) == 714
    network.load_state_dict(state, strict=True, assign=True)
    del state["last_bn.bias"]
    with pytest.raises(RuntimeError, match=r"last_bn\.bias"):
        network.load_state_dict(state, strict=True, assign=True)
    with pytest.raises(RuntimeError, match=r"other\.weight"):
        network.load_state_dict(
            {**network.state_dict(), "other.weight": torch.zeros(1)}, strict=True, assign=True
        )
