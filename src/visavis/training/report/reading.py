"""Reads the folder of a run, finished or not."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from visavis.errors import DataError
from visavis.training.fields import read_json
from visavis.training.loop.checkpoints import RunDescription
from visavis.training.loop.logs import read_history
from visavis.training.outcome.directory import VALIDATION
from visavis.training.recipes.recipe import with_current_names
from visavis.types import Vectors
from visavis.weights import model_directory as names

_REMEDY: Final = "give the folder of a run of `visavis train`"

Series = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class ValidationEmbeddings:
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
    """Contents of the folder of a run.

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
    validated: ValidationEmbeddings | None

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
    recipe = with_current_names(read_json(about, RunDescription, _REMEDY).recipe)
    model = folder / names.INSIDE_RUN
    done = (model / names.DESCRIPTION).is_file()
    return RunFolder(
        path=folder,
        recipe=recipe,
        history=_history(folder / "history.csv"),
        description=read_json(model / names.DESCRIPTION, dict, _REMEDY) if done else None,
        metrics=read_json(model / names.METRICS, dict, _REMEDY) if done else None,
        validated=_validated(folder / VALIDATION) if done else None,
    )


def _history(file: Path) -> list[dict[str, float]]:
    try:
        return read_history(file)
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is damaged ({error})", _REMEDY) from error


def _validated(file: Path) -> ValidationEmbeddings | None:
    if not file.is_file():
        return None  # whoever passed the run on kept it
    try:
        with np.load(file) as arrays:
            return ValidationEmbeddings(arrays["vectors"], arrays["labels"], arrays["people"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{file} is damaged ({error})", "remove it, or train again with --resume"
        ) from error
