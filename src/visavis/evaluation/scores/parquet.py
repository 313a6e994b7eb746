"""Score files as Parquet, with metadata in the same file."""

from __future__ import annotations

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
from visavis.former import RENAMED
from visavis.reading import open_regular
from visavis.writing import replacing

_KEY: Final = b"visavis"
_REQUIRED: Final = ("a", "b", "same", "score")


def write(path: Path, scores: ScoreFile) -> None:
    """See ``scores.write``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays: dict[str, Any] = {}
    for name in COLUMNS:
        values = getattr(scores, name)
        if values is None:
            continue
        if values.dtype == np.object_:
            arrays[name] = pa.array([_valid(text) for text in values], pa.string())
        elif name in ("score", "llr"):
            # NaN means "no score": a null, as usual in Parquet.
            arrays[name] = pa.array(values, pa.float64(), mask=np.isnan(values))
        else:
            arrays[name] = pa.array(values)
    for name in CONSTANTS:
        arrays[name] = pa.array([_valid(getattr(scores, name))] * len(scores), pa.string())
    about = json.dumps(scores.about.to_dict(), allow_nan=False)
    table = pa.table(arrays).replace_schema_metadata({_KEY: about.encode()})
    with replacing(path, private=True) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _valid(text: str) -> str:
    """Removes lone surrogates, which represent undecodable bytes of file names."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def read(path: Path) -> ScoreFile:
    """See ``scores.read``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_regular(path) as file:
            table = pq.ParquetFile(file).read()
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path}: cannot be read as Parquet ({error})", "give a score file"
        ) from error
    for name in _REQUIRED:
        if name not in table.column_names:
            raise DataError(
                f"{path}: no column {name!r} ({', '.join(table.column_names)})",
                "give the columns a, b, same, score",
            )
    if not table.num_rows:
        raise DataError(f"{path}: a table without rows", "give one row per pair")
    metadata = (table.schema.metadata or {}).get(_KEY)
    table = table.rename_columns([RENAMED.get(name, name) for name in table.column_names])
    columns: dict[str, Any] = {}
    for name in table.column_names:
        if name in ("score", "llr"):
            columns[name] = _floats(path, table, name)
        elif name in ("same", "fold"):
            columns[name] = _typed(path, table, name, np.bool_ if name == "same" else np.int64)
        elif name in COLUMNS or name in CONSTANTS:
            may_miss = name == "failure" or name in CONSTANTS
            columns[name] = _texts(path, table, name, missing="" if may_miss else None)
    about = About(protocol=path.stem) if metadata is None else from_json(metadata, str(path))
    return checked(path, columns, about, row=lambda k: f"row {k + 1}")


def _floats(path: Path, table: Any, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    import pyarrow as pa
    import pyarrow.types as kinds

    column = table[name]
    if not (kinds.is_floating(column.type) or kinds.is_integer(column.type)):
        raise DataError(f"{path}: column {name!r} holds {column.type}", "give numbers")
    values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.asarray(values, dtype=np.float64)


def _typed(path: Path, table: Any, name: str, kind: type[Any]) -> np.ndarray[Any, Any]:
    import pyarrow.types as kinds

    column = table[name]
    fits = kinds.is_boolean if kind is np.bool_ else kinds.is_integer
    if column.null_count or not fits(column.type):
        raise DataError(
            f"{path}: column {name!r} holds {column.type} with {column.null_count} empty cells",
            "give booleans in same and whole numbers in fold, none empty",
        )
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=kind)


def _texts(path: Path, table: Any, name: str, missing: str | None = None) -> Any:
    import pyarrow.types as kinds

    column = table[name]
    if kinds.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (kinds.is_string(column.type) or kinds.is_large_string(column.type)):
        raise DataError(f"{path}: column {name!r} holds {column.type}", "give texts")
    if column.null_count and missing is None:
        raise DataError(f"{path}: column {name!r} has empty cells", "fill them")
    return texts(missing if value is None else value for value in column.to_pylist())
