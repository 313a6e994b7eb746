"""Reads model directories written by training.

Using one does not need torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from visavis.errors import (
    ModelDamagedError,
    ModelError,
    ModelUnavailableError,
    OptionError,
    decoding,
)
from visavis.types import Record
from visavis.weights.registry import ModelEntry, identify

SCHEMA: Final = 1
DESCRIPTION: Final = "model.json"
GRAPH: Final = "model.onnx"
WEIGHTS: Final = "weights.safetensors"
POINTS: Final = "operating_points.json"
METRICS: Final = "metrics.json"
RECIPE: Final = "recipe.json"
CARD: Final = "README.md"
_REMEDY: Final = "restore it, or train the model anew"
INSIDE_RUN: Final = "model"
"""Name of the model directory in the folder of a training run."""


@dataclass(frozen=True, slots=True)
class ModelDirectory(Record):
    """A model directory with a verified graph.

    Attributes:
        path: the folder.
        entry: registry entry of the graph.
        graph: the ONNX file.
        operating_points: calibration measured during training; ``None`` if there were too few
            validation people.
        description: content of ``model.json``.
    """

    path: Path
    entry: ModelEntry
    graph: Path
    operating_points: Path | None
    description: dict[str, Any]


def read_directory(path: Path) -> ModelDirectory:
    """Reads a model directory, or the one in the folder of a training run.

    Raises:
        ModelUnavailableError: no model directory, or a file is missing.
        ModelDamagedError: the graph is not the one that was written.
        ModelError: invalid ``model.json``.
    """
    folder = path if (path / DESCRIPTION).is_file() else path / INSIDE_RUN
    file = folder / DESCRIPTION
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelUnavailableError(
            f"{path} is no model directory ({path / DESCRIPTION} cannot be read)",
            "give the folder that `visavis train` wrote, or an .onnx file with its settings",
        ) from error
    with decoding(file, ModelError, _REMEDY):
        description = msgspec.json.decode(text, type=dict[str, Any])
    if description.get("schema") != SCHEMA:
        raise ModelError(
            f"{file} is of schema {description.get('schema')!r}",
            f"this visavis reads schema {SCHEMA}; update visavis",
        )
    entry = _entry(description, file)
    graph = folder / GRAPH
    digest, _size = identify(graph)
    if digest != entry.sha256:
        raise ModelDamagedError(
            f"{graph} is damaged or another file (sha256 {digest}, {DESCRIPTION} says "
            f"{entry.sha256})",
            "copy the model directory again, or train it anew",
        )
    points = folder / POINTS
    return ModelDirectory(
        path=folder,
        entry=entry,
        graph=graph,
        operating_points=points if points.is_file() else None,
        description=description,
    )


def _entry(description: dict[str, Any], file: Path) -> ModelEntry:
    try:
        entry = ModelEntry.from_dict(description["model"])
    except (OptionError, KeyError, AttributeError) as error:
        raise ModelError(f"{file}: model ({error})", _REMEDY) from error
    if entry.kind != "embedder" or entry.input_size is None or entry.dimension is None:
        raise ModelError(f"{file}: it describes no embedder of a known size", _REMEDY)
    return entry
