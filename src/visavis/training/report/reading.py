"""What the folder of a run holds, as far as it is there yet."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from visavis.errors import DataError
from visavis.training.loop.logs import read_history
from visavis.training.outcome.directory import VALIDATION
from visavis.types import Vectors
from visavis.weights import model_directory as names

_REMEDY: Final = "give the folder of a run of `visavis train`"

Series = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class Validated:
    """The validation people, embedded by the model file.

    Attributes:
        vectors: ``(N, D)`` unit vectors.
        labels: ``(N,)`` person of each.
        people: ``(N,)`` names of them.
    """

    vectors: Vectors
    labels: NDArray[np.int64]
    people: NDArray[np.str_]


@dataclass(frozen=True, slots=True, eq=False)
class RunFolder:
    """A run as it lies on disk.

    Attributes:
        path: the folder.
        recipe: all settings.
        history: rows of the log, values by column, empty ones left out.
        description: what ``model.json`` holds; ``None`` before the end.
        metrics: what ``metrics.json`` holds; ``None`` before the end.
        validated: embeddings of the validation people; ``None`` before the end.
    """

    path: Path
    recipe: dict[str, Any]
    history: list[dict[str, float]]
    description: dict[str, Any] | None
    metrics: dict[str, Any] | None
    validated: Validated | None

    def series(self, column: str) -> Series:
        """Epochs and values of a column of the log, where it has finite ones."""
        rows = [
            (row.get("epoch", float("nan")), row[column])
            for row in self.history
            if column in row and np.isfinite(row[column])
        ]
        table = np.array(rows, dtype=np.float64).reshape(-1, 2)
        return table[:, 0], table[:, 1]


def read_run(folder: Path) -> RunFolder:
    """Read the folder of a run.

    Raises:
        DataError: it is none, or a file in it is damaged.
    """
    about = folder / "run.json"
    if not about.is_file():
        raise DataError(f"{folder} holds no training run ({about.name} is not there)", _REMEDY)
    recipe = _json(about).get("recipe")
    if not isinstance(recipe, dict):
        raise DataError(f"{about} names no recipe", _REMEDY)
    model = folder / names.INSIDE_RUN
    done = (model / names.DESCRIPTION).is_file()
    return RunFolder(
        path=folder,
        recipe=recipe,
        history=_history(folder / "history.csv"),
        description=_json(model / names.DESCRIPTION) if done else None,
        metrics=_json(model / names.METRICS) if done else None,
        validated=_validated(folder / VALIDATION) if done else None,
    )


def flat_settings(recipe: dict[str, Any]) -> dict[str, Any]:
    """Settings by name, nested ones as ``loss.margin``."""
    rows: dict[str, Any] = {}
    for name, value in recipe.items():
        if isinstance(value, dict):
            rows |= {f"{name}.{inner}": own for inner, own in value.items()}
        else:
            rows[name] = value
    return rows


def _history(file: Path) -> list[dict[str, float]]:
    try:
        return read_history(file)
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is damaged ({error})", _REMEDY) from error


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read ({error})", _REMEDY) from error
    if not isinstance(content, dict):
        raise DataError(f"{file} holds no object", _REMEDY)
    return content


def _validated(file: Path) -> Validated | None:
    if not file.is_file():
        return None  # whoever passed the run on kept it
    try:
        with np.load(file) as arrays:
            return Validated(arrays["vectors"], arrays["labels"], arrays["people"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{file} is damaged ({error})", "remove it, or train again with --resume"
        ) from error
