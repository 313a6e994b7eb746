"""Reads model directories written by training or by export.

Using a trained one does not need torch.
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
from visavis.reading import read_text
from visavis.types import Record
from visavis.weights import exported
from visavis.weights.registry import ModelEntry, identify

SCHEMA: Final = 1
DESCRIPTION: Final = "model.json"
GRAPH: Final = "model.onnx"
WEIGHTS: Final = "weights.safetensors"
POINTS: Final = "operating_points.json"
METRICS: Final = "metrics.json"
RECIPE: Final = "recipe.json"
CARD: Final = "README.md"
_REMEDY: Final = "restore it, or train or export the model anew"
INSIDE_RUN: Final = "model"
"""Name of the model directory in the folder of a training run."""


@dataclass(frozen=True, slots=True)
class ModelDirectory(Record):
    """A model directory with a verified graph.

    Attributes:
        path: the folder.
        entry: registry entry of the graph.
        graph: the model file.
        weights: file with the weights of ``graph``, if they are apart; else ``None``.
        operating_points: calibration measured during training or export; ``None`` if there were too
            few people.
        description: content of ``model.json``.
    """

    path: Path
    entry: ModelEntry
    graph: Path
    weights: Path | None
    operating_points: Path | None
    description: dict[str, Any]


def read_directory(path: Path) -> ModelDirectory:
    """Reads a model directory, the one in the folder of a training run, or an exported model.

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
            "give a folder that `visavis train` or `visavis export` wrote, or an .onnx file with "
            "its settings",
        ) from error
    with decoding(file, ModelError, _REMEDY):
        description = msgspec.json.decode(text, type=dict[str, Any])
    if description.get("schema") == exported.SCHEMA:
        return _exported(folder, text, description)
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
        weights=None,
        operating_points=points if points.is_file() else None,
        description=description,
    )


def is_exported(file: Path) -> bool:
    """Whether a file is one of an exported model, whose ``model.json`` is beside it."""
    if not file.is_file():
        return False
    try:
        text = read_text(file.parent / DESCRIPTION)
        description = msgspec.json.decode(text, type=dict[str, Any])
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError):
        return False
    files = description.get("files")
    ours = description.get("schema") == exported.SCHEMA and isinstance(files, list)
    return ours and file.name in files  # type: ignore[operator]


def _exported(folder: Path, text: str, description: dict[str, Any]) -> ModelDirectory:
    file = folder / DESCRIPTION
    described = exported.read_description(text.encode(), source=str(file))
    exported.verified(folder, described)
    try:
        entry = described.entry()
    except OptionError as error:
        raise ModelError(f"{file}: {error.got}", _REMEDY) from error
    graph, *weights = (folder / name for name in described.files)
    points = folder / POINTS
    return ModelDirectory(
        path=folder,
        entry=entry,
        graph=graph,
        weights=weights[0] if weights else None,
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
