"""ONNX export of a network with a parity check, and embedding by the exported file."""

from __future__ import annotations

import copy
import io
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from visavis.embedding.onnx import EmbedderOptions, OnnxEmbedder
from visavis.embedding.torch import FaceNetwork
from visavis.errors import ExportError
from visavis.inference import load
from visavis.training.augment.augmenter import Augmenter
from visavis.training.augment.options import AugmentOptions
from visavis.training.data.pack import Pack
from visavis.types import Embedder, Vectors
from visavis.weights import ModelEntry, WeightStore
from visavis.writing import replacing

TOLERANCE: Final = 1e-4
"""Largest difference of a number of a unit vector between torch and ONNX Runtime."""

OPSET: Final = 17
INPUT: Final = "images"
OUTPUT: Final = "embeddings"


def write_onnx(network: FaceNetwork, path: Path) -> float:
    """Export a network to ONNX and check its parity.

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


_BATCH: Final = 64

Change = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]
"""From packed crops ``(N, S, S, 3)`` uint8 and the place of the first to changed ones."""


def serve(entry: ModelEntry, graph: Path, *, threads: int | None = None) -> OnnxEmbedder:
    """The embedder of a graph, without registering the graph.

    Args:
        entry: what it would be registered with.
        graph: the ONNX file.
        threads: CPU threads a call may use; all cores when ``None``.

    Raises:
        ModelError: the graph cannot be read.
        OptionError: the entry's name is a built-in model's.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = WeightStore(Path(folder))
        store.add(
            entry.name,
            graph,
            input_size=int(entry.input_size or 0),
            mean=entry.mean,
            std=entry.std,
            color=entry.color,
            license=entry.license,
            layout=entry.layout,
            dimension=entry.dimension,
            crop_scale=entry.crop_scale,
            batch=entry.batch,
            sha256=entry.sha256,
        )
        embedder = OnnxEmbedder(entry.name, store=store, options=EmbedderOptions(threads=threads))
        embedder.load()  # while the folder is there
        return embedder


def embed_rows(
    embedder: Embedder,
    pack: Pack,
    rows: NDArray[np.int64],
    *,
    crop_scale: float,
    change: Change | None = None,
) -> Vectors:
    """Unit vectors of rows of a pack.

    The packed crops are resampled to the embedder's geometry and rounded to whole gray levels, as
    crops from photos are.

    Args:
        embedder: what embeds.
        pack: an open pack.
        rows: ``(M,)`` rows of it.
        crop_scale: size of the face in the embedder's crop.
        change: done to the packed crops before, in batches.

    Returns:
        ``(M, D)`` float32, rows of unit length.

    Raises:
        OptionError: the embedder's crop shows more around the face than the pack has.
    """
    resample = Augmenter(
        AugmentOptions.none(),
        source=(pack.size, pack.scale),
        target=(embedder.input_size, crop_scale),
    ).plain
    parts = [np.zeros((0, embedder.dimension), np.float32)]
    for start in range(0, len(rows), _BATCH):
        crops = np.asarray(pack.crops[rows[start : start + _BATCH]])
        crops = crops if change is None else change(crops, start)
        images = resample(torch.from_numpy(crops)).round().clamp(0, 255).to(torch.uint8)
        parts.append(embedder.embed(images.permute(0, 2, 3, 1).contiguous().numpy()))
    return np.concatenate(parts)
