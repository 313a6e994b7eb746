"""Crops of a pack through a model file, by the code that will serve it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from visavis.embedding.onnx import EmbedderOptions, OnnxEmbedder
from visavis.training.augment.augmenter import Augmenter
from visavis.training.augment.options import AugmentOptions
from visavis.training.data.pack import Pack
from visavis.types import Embedder, Vectors
from visavis.weights import ModelEntry, WeightStore

_BATCH: Final = 64

Change = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]
"""From packed crops ``(N, S, S, 3)`` uint8 and the place of the first to changed ones."""


def serve(entry: ModelEntry, graph: Path, *, threads: int | None = None) -> OnnxEmbedder:
    """The embedder that a graph becomes once it is registered, without registering it.

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
            colour=entry.colour,
            licence=entry.licence,
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
