"""Score files as Parquet, with their metadata in the file's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from visavis.errors import DataError
from visavis.evaluation.about import About, from_plain
from visavis.evaluation.scores import COLUMNS, CONSTANTS, ScoreFile, texts
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
            # NaN means "no score": a null, as every reader of Parquet expects.
            arrays[name] = pa.array(values, pa.float64(), mask=np.isnan(values))
        else:
            arrays[name] = pa.array(values)
    for name in CONSTANTS:
        arrays[name] = pa.array([_valid(getattr(scores, name))] * len(scores), pa.string())
    about = json.dumps(scores.about.to_dict(), allow_nan=False)
    table = pa.table(arrays).replace_schema_metadata({_KEY: about.encode()})
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _valid(text: str) -> str:
    """Without the lone surrogates that stand for undecodable bytes of file names."""
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
        raise DataError(f"{path}: a table without rows", "give one row a pair")
    if ("person_a" in table.column_names) != ("person_b" in table.column_names):
        raise DataError(f"{path}: people of one side only", "give person_a and person_b, or none")
    score = _floats(path, table, "score")
    for k in np.flatnonzero(np.isinf(score))[:1]:
        raise DataError(f"{path}, row {k + 1}: score is {score[k]}", "give a finite number")
    failed = np.isnan(score)
    failure = _texts(path, table, "failure", missing="")
    failure = texts(["" for _ in score] if failure is None else failure)
    failure[failed & (failure == "")] = "not-scored"
    for k in np.flatnonzero((failure != "") & ~failed)[:1]:
        raise DataError(
            f"{path}, row {k + 1}: a score and a failure", "keep the score, or the reason for none"
        )
    metadata = (table.schema.metadata or {}).get(_KEY)
    return ScoreFile(
        a=_require(path, _texts(path, table, "a"), "a"),
        b=_require(path, _texts(path, table, "b"), "b"),
        same=_typed(path, table, "same", np.bool_),
        score=score,
        failure=failure,
        fold=_typed(path, table, "fold", np.int64) if "fold" in table.column_names else None,
        group=_texts(path, table, "group"),
        person_a=_texts(path, table, "person_a"),
        person_b=_texts(path, table, "person_b"),
        llr=_floats(path, table, "llr") if "llr" in table.column_names else None,
        about=_about(path, metadata),
        **{name: _constant(path, table, name) for name in CONSTANTS},
    )


def _about(path: Path, metadata: bytes | None) -> About:
    if metadata is None:
        return About(protocol=path.stem)
    try:
        plain = json.loads(metadata)
    except ValueError as error:
        raise DataError(f"{path}: broken metadata", "write the score file again") from error
    return from_plain(plain, str(path))


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

    if name not in table.column_names:
        return None
    column = table[name]
    if kinds.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (kinds.is_string(column.type) or kinds.is_large_string(column.type)):
        raise DataError(f"{path}: column {name!r} holds {column.type}", "give texts")
    if column.null_count and missing is None:
        raise DataError(f"{path}: column {name!r} has empty cells", "fill them")
    return texts(missing if value is None else value for value in column.to_pylist())


def _require(path: Path, values: Any, name: str) -> Any:
    if values is None:
        raise DataError(f"{path}: no column {name!r}", "give the columns a, b, same, score")
    return values


def _constant(path: Path, table: Any, name: str) -> str:
    values = set(_texts(path, table, name, missing="")) if name in table.column_names else {""}
    if len(values) > 1:
        raise DataError(
            f"{path}: {name} is {' and '.join(sorted(map(repr, values))[:2])}",
            "keep the scores of one model and one setting in a file",
        )
    return str(values.pop())
