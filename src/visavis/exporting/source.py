"""What is exported: a registered model or a model directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visavis.weights import ModelEntry


@dataclass(frozen=True, slots=True)
class Source:
    """A model to export.

    Attributes:
        entry: registry entry.
        data: bytes of its ONNX file.
        directory: model directory of ``visavis train``; ``None`` for a registered model.
        network: recipe's fields of its network, from the model directory.
    """

    entry: ModelEntry
    data: bytes
    directory: Path | None = None
    network: dict[str, Any] | None = None
