"""The exported file computes what the network does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from visavis.embedding.backbones import build
from visavis.embedding.torch import FaceNetwork
from visavis.errors import ExportError
from visavis.training.outcome import model_file
from visavis.training.outcome.model_file import TOLERANCE, write_onnx


def run_plainly(path: Path, images: np.ndarray) -> np.ndarray:
    """The file in ONNX Runtime, without anything of ours around it."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"images": images})
    return np.asarray(output)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    ("backbone", "size"), [("small_resnet", 32), ("prelu_net", 64), ("siamese_cnn", 32)]
)
def test_any_number_of_crops_gives_the_networks_vectors(
    backbone: str, size: int, flip: bool, tmp_path: Path
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = FaceNetwork(build(backbone, input_size=size), flip=flip).train()
        network.raw(torch.rand(4, 3, size, size) * 255)
    path = tmp_path / "model.onnx"
    worst = write_onnx(network, path)
    assert worst <= TOLERANCE
    assert network.training, "the network given stays in its mode"
    images = (np.random.default_rng(2).random((5, 3, size, size)) * 255).astype(np.float32)
    with torch.inference_mode():
        network.eval()
        raw = network.raw(torch.from_numpy(images))
        mirrored = network.raw(torch.from_numpy(images[..., ::-1].copy()))
        expected = torch.nn.functional.normalize(raw)
        if flip:
            expected = torch.nn.functional.normalize(
                expected + torch.nn.functional.normalize(mirrored)
            )
    for batch in (images[:1], images):
        found = run_plainly(path, batch)
        np.testing.assert_allclose(found, expected[: len(batch)].numpy(), atol=TOLERANCE)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_a_file_that_computes_something_else_is_not_written(
    network: FaceNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = FaceNetwork(build("small_resnet", dimension=16, input_size=32)).eval()
    graph = model_file._export(other)
    assert model_file.parity(network, graph) > 0.01
    monkeypatch.setattr(model_file, "_export", lambda _: graph)
    path = tmp_path / "model.onnx"
    with pytest.raises(ExportError, match="differs"):
        write_onnx(network, path)
    assert list(tmp_path.iterdir()) == []


def test_vectors_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    network = FaceNetwork(build("small_resnet", dimension=16, input_size=32)).eval()
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    with pytest.raises(ExportError):
        write_onnx(network, tmp_path / "model.onnx")


def test_operators_that_onnx_lacks_are_named(tmp_path: Path) -> None:
    network = FaceNetwork(build("small_resnet", dimension=16, input_size=32)).eval()

    class Odd(torch.nn.Module):
        spec = network.spec

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(x.flatten(1)[:, :16])

    network.backbone = Odd()  # type: ignore[assignment]
    with pytest.raises(ExportError, match="exported"):
        write_onnx(network, tmp_path / "model.onnx")
