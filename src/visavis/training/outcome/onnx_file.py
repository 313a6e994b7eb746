"""A trained network as an ONNX file, compared with the network before anybody uses it."""

from __future__ import annotations

import copy
import io
import warnings
from pathlib import Path
from typing import Final

import numpy as np
import torch

from visavis.embedding.torch import FaceNetwork
from visavis.errors import ExportError
from visavis.inference import load
from visavis.writing import replacing

TOLERANCE: Final = 1e-4
"""Largest difference of a number of a unit vector between torch and ONNX Runtime."""

OPSET: Final = 17
INPUT: Final = "images"
OUTPUT: Final = "embeddings"


def write_onnx(network: FaceNetwork, path: Path) -> float:
    """Export a network and check that the file does what the network does.

    The graph takes ``images``, ``(N, 3, S, S)`` float32 RGB of 0..255 with any N, and gives
    ``embeddings``, ``(N, D)`` unit vectors: gray conversion, normalization and, where the network
    has ``flip`` set, averaging with the mirror image are inside.

    Args:
        network: its state and mode stay as they are; ``flip`` decides about mirror images.
        path: the file, written whole or not at all.

    Returns:
        The largest difference between the file's and the network's numbers.

    Raises:
        ExportError: torch cannot export it, or the difference is above ``TOLERANCE``.
    """
    still = copy.deepcopy(network).to("cpu", torch.float32).eval().requires_grad_(False)
    for weight in still.parameters():
        weight.data = weight.data.contiguous()
    graph = _export(still)
    worst = parity(still, graph)
    if not worst <= TOLERANCE:
        raise ExportError(
            f"the exported {network.spec.name} differs from the network by {worst:.2g}",
            f"{TOLERANCE:g} is accepted; train again with gradient clipping, or report it",
        )
    with replacing(path) as temporary:
        temporary.write_bytes(graph)
    return worst


def parity(network: FaceNetwork, graph: bytes) -> float:
    """Largest absolute difference of unit vectors between a network and an ONNX graph.

    Both see noise, a flat and a smooth image, one at a time and all in one batch.

    Args:
        network: in evaluation mode, on the CPU.
        graph: the bytes of the file.
    """
    size = network.spec.input_size
    session = load(graph, runtime="onnxruntime", threads=1, input_shape=("n", 3, size, size))
    images = _images(size)
    with torch.inference_mode():
        expected = network(torch.from_numpy(images)).numpy()
    together = session.run(images)[0]
    alone = np.concatenate([session.run(image[None])[0] for image in images])
    differences = np.abs(np.stack([together, alone]) - expected)
    return float(differences.max()) if np.isfinite(differences).all() else float("inf")


def _export(network: FaceNetwork) -> bytes:
    size = network.spec.input_size
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings():
            # The exporter by tracing folds batch normalization and needs no further package.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                (torch.zeros(2, 3, size, size),),
                buffer,  # type: ignore[arg-type]
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: {0: "n"}, OUTPUT: {0: "n"}},
                opset_version=OPSET,
                dynamo=False,
            )
    except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
        raise ExportError(
            f"{network.spec.name} cannot be exported ({str(error).splitlines()[0]})",
            "use layers that ONNX knows",
        ) from error
    return buffer.getvalue()


def _images(size: int) -> np.ndarray:
    """Four ``(3, S, S)`` images of 0..255, with coarse and fine structure."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (2, 3, size, size))
    flat = np.full((1, 3, size, size), 127)
    ramp = np.linspace(0, 255, size)
    smooth = np.broadcast_to((ramp[:, None] + ramp[None, ::-1]) / 2, (1, 3, size, size))
    return np.concatenate([noise, flat, smooth]).astype(np.float32)
