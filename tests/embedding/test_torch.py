"""FaceNetwork and the embedder over it."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch
from tests.contracts.embedder import EmbedderContract

from visavis.embedding.backbones import build
from visavis.embedding.torch import FaceNetwork, TorchEmbedder, weights_sha256
from visavis.errors import ModelRefusedError, OptionError


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small(name: str = "siamese_cnn", *, flip: bool = False) -> FaceNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sizes = {"siamese_cnn": 32, "prelu_net": 64}
        return FaceNetwork(build(name, dimension=8, input_size=sizes[name]), flip=flip)


@pytest.fixture(scope="module", params=["siamese_cnn", "prelu_net"])
def embedder(request: pytest.FixtureRequest) -> TorchEmbedder:
    network = small(request.param, flip=request.param == "prelu_net")
    return TorchEmbedder(network, name=request.param)


class TestTorchEmbedder(EmbedderContract):
    """The contract, for an RGB network and a gray one that averages mirror images."""


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (3, 3, 64, 64), generator=generator).float()


def test_rgb_is_normalized_as_the_spec_says(images: torch.Tensor) -> None:
    network = small().eval()
    spec = network.spec
    small_images = images[:, :, :32, :32]
    want = network.backbone((small_images - spec.mean) / spec.std)
    torch.testing.assert_close(network.raw(small_images), want)
    unit = want / want.norm(dim=1, keepdim=True)
    torch.testing.assert_close(network(small_images), unit)


def test_gray_is_opencvs(images: torch.Tensor) -> None:
    network = small("prelu_net").eval()
    spec = network.spec
    assert spec.channels == 1
    photos = images.permute(0, 2, 3, 1).to(torch.uint8).numpy()
    gray = np.stack([cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in photos])
    want = network.backbone(((torch.from_numpy(gray).float() - spec.mean) / spec.std)[:, None])
    # OpenCV rounds to whole gray levels.
    torch.testing.assert_close(network.raw(images), want, rtol=0.02, atol=0.01)


def test_flip_averages_unit_vectors_and_leaves_raw_alone(images: torch.Tensor) -> None:
    plain, flipped = small("prelu_net").eval(), small("prelu_net", flip=True).eval()
    both = plain(images) + plain(torch.flip(images, (3,)))
    want = both / both.norm(dim=1, keepdim=True)
    torch.testing.assert_close(flipped(images), want)
    torch.testing.assert_close(flipped(torch.flip(images, (3,))), want)
    torch.testing.assert_close(flipped.raw(images), plain.raw(images))


def test_raw_is_float32_under_bfloat16(images: torch.Tensor) -> None:
    network = small("prelu_net").eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        got = network.raw(images)
    assert got.dtype == torch.float32
    want = network(images)
    assert torch.cosine_similarity(got, want).min() > 0.99


def test_the_hash_is_that_of_names_shapes_and_bytes() -> None:
    one, two = small(), small()
    assert weights_sha256(one) == weights_sha256(two)
    assert TorchEmbedder(one, name="a").sha256 == weights_sha256(one)
    assert TorchEmbedder(one, name="a", sha256="f" * 64).sha256 == "f" * 64
    with torch.no_grad():
        next(two.parameters()).view(-1)[0] += 1e-6
    assert weights_sha256(one) != weights_sha256(two)
    half = small().to(torch.bfloat16)
    assert weights_sha256(half) == weights_sha256(small().to(torch.bfloat16))
    assert weights_sha256(half) != weights_sha256(one)


def test_training_on_does_not_change_an_embedder() -> None:
    network = small().train()
    embedder = TorchEmbedder(network, name="a")
    crops = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    before = embedder.embed(crops)
    assert network.training
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.5)
        network(torch.rand(4, 3, 32, 32) * 255)
    np.testing.assert_array_equal(embedder.embed(crops), before)
    assert all(p.requires_grad for p in network.parameters())


def test_a_broken_network_is_refused() -> None:
    crops = np.zeros((1, 32, 32, 3), dtype=np.uint8)
    for number in (0.0, float("nan")):
        network = small()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.fill_(number)
        with pytest.raises(ModelRefusedError, match="zero or non-finite"):
            TorchEmbedder(network, name="broken").embed(crops)
    with pytest.raises(OptionError, match="batch 0"):
        TorchEmbedder(small(), name="a", batch=0)
