"""FaceNetwork."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch

from visavis.embedding.backbones import build
from visavis.embedding.torch import FaceNetwork


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
