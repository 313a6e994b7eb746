"""Score files as CSV, with metadata in a separate JSON file."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from visavis.errors import DataError
from visavis.evaluation.scores.table import (
    COLUMNS,
    CONSTANTS,
    About,
    ScoreFile,
    checked,
    from_json,
    texts,
)
from visavis.evaluation.tables import Table, parse_flag, read_table
from visavis.former import RENAMED
from visavis.writing import replacing

_REQUIRED: Final = {
    "a": "the first photo of each pair",
    "b": "the second photo",
    "same": "1 for the same person, 0 for different people",
    "score": "the similarity, higher is closer, empty where the comparison failed",
}
_NUMBERS: Final = ("score", "llr")


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".meta.json")


def write(path: Path, scores: ScoreFile) -> None:
    """See ``scores.write``."""
    columns = [name for name in COLUMNS if getattr(scores, name) is not None]
    cells = [_cells(name, getattr(scores, name)) for name in columns]
    constants = [getattr(scores, name) for name in CONSTANTS]
    with (
        replacing(path, private=True) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*columns, *CONSTANTS])
        writer.writerows([*row, *constants] for row in zip(*cells, strict=True))
    with replacing(_beside(path), private=True) as temporary:
        text = json.dumps(scores.about.to_dict(), ensure_ascii=True, indent=1, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def _cells(name: str, values: Any) -> list[str]:
    if name in _NUMBERS:
        # repr is the shortest text that restores the same double.
        return ["" if np.isnan(value) else repr(value) for value in values.tolist()]
    if name == "same":
        return ["1" if value else "0" for value in values.tolist()]
    return [str(value) for value in values.tolist()]


def read(path: Path) -> ScoreFile:
    """See ``scores.read``."""
    table = read_table(path, required=_REQUIRED)
    if not table.rows:
        raise DataError(f"{path}: a header without rows", "add one row per pair")
    columns: dict[str, Any] = {}
    for place, name in enumerate(RENAMED.get(name, name) for name in table.columns):
        cells = [row[place] for row in table.rows]
        if name in _NUMBERS:
            columns[name] = np.array([_number(table, k, name, c) for k, c in enumerate(cells)])
        elif name == "same":
            columns[name] = np.array([_flag(table, k, c) for k, c in enumerate(cells)])
        elif name == "fold":
            columns[name] = _folds(table, cells)
        else:
            columns[name] = cells if name in CONSTANTS else texts(cells)
    return checked(path, columns, _about(path), row=lambda k: f"row {table.numbers[k]}")


def _about(path: Path) -> About:
    beside = _beside(path)
    if not beside.is_file():
        return About(protocol=path.stem)
    try:
        text = beside.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{beside}: cannot be read ({error})", "delete it, or write the score file again"
        ) from error
    return from_json(text, str(beside))


def _number(table: Table, k: int, column: str, text: str) -> float:
    if not text.strip():
        return float("nan")
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    # LLRs may be infinite; scores may not.
    if np.isnan(value) or (column == "score" and np.isinf(value)):
        raise table.error(
            table.numbers[k], f"{column} is {text!r}", "write a number, or nothing if it failed"
        )
    return value


def _flag(table: Table, k: int, text: str) -> bool:
    flag = parse_flag(text)
    if flag is None:
        raise table.error(table.numbers[k], f"same is {text!r}", "write 1 or 0")
    return flag


def _folds(table: Table, column: list[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    for k, text in enumerate(column):
        if not text.strip().removeprefix("-").isdecimal() or len(text) > 12:
            raise table.error(table.numbers[k], f"fold is {text!r}", "write a whole number")
    return np.array([int(text) for text in column], dtype=np.int64)
