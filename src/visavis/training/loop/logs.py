"""The CSV log of a run, and silence of Lightning's messages."""

from __future__ import annotations

import csv
import io
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

COLUMNS: Final = (
    "step",
    "epoch",
    "seconds",
    "lr",
    "head_lr",
    "loss",
    "active",
    "mated",
    "non_mated",
    "rank",
    "gradient_norm",
    "images_per_second",
    "gflops",
    "share_of_peak",
    "validation_auc",
    "validation_mated",
    "validation_non_mated",
    "validation_rank",
    "validation_fnmr_1e-2",
    "validation_fnmr_1e-3",
    "loss_distil",
)
"""Columns of ``history.csv``; a row has training figures, validation figures, or both."""


class History:
    """``history.csv``: a row for each step that was logged or validated.

    Lightning's ``CSVLogger`` cannot continue a file. This one removes the rows after the step that
    a run was resumed from. Each row is on disk when ``log_metrics`` returns.

    Args:
        path: the file.
        resumed: the step that the run continues from, 0 for a new one.
    """

    def __init__(self, path: Path, *, resumed: int = 0) -> None:
        self._path, self._resumed, self._begun = path, resumed, False

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Append a row.

        Args:
            metrics: values by name; names outside ``COLUMNS`` are left to other loggers.
            step: steps done.
        """
        if not self._begun:
            self._begin()
        row = {"step": step, **{k: _spelled(v) for k, v in metrics.items() if k in COLUMNS}}
        with self._path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n").writerow(row)

    def _begin(self) -> None:
        kept = [row for row in read_history(self._path) if row["step"] <= self._resumed]
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        for row in kept:
            writer.writerow({k: _spelled(v) for k, v in row.items() if k in COLUMNS})
        self._path.write_text(text.getvalue(), encoding="utf-8")
        self._begun = True


def read_history(path: Path) -> list[dict[str, float]]:
    """Rows of a ``history.csv``: values by column, without the empty ones; [] for no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    # A run that goes on, or was killed, may have written half a row.
    whole = [row for row in rows if None not in row.values() and row.get("step")]
    return [{k: float(v) for k, v in row.items() if v} for row in whole]


def _spelled(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "" if value is None or math.isnan(value) else str(value)
    return str(int(value)) if float(value).is_integer() else f"{value:.7g}"


@contextmanager
def quiet() -> Iterator[None]:
    """Context in which Lightning's messages and hints are suppressed; errors still raise."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
            warnings.filterwarnings("ignore", message=".*`lr_scheduler.step..` before.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
