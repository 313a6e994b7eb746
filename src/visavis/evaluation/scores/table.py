"""Score files: pairs with a score, or the reason of a failure.

A table with one row per pair, as CSV or Parquet by the file's extension. Columns:

========================  =========================================================================
``a``, ``b``              the two photos, as the pair list names them
``same``                  whether they show the same person
``score``                 cosine similarity, float64; empty where the comparison failed
``failure``               the reason where it failed, such as ``no-face (b)``; empty otherwise
``fold``, ``group``       as the pair list has them; a column may be absent
``person_a, person_b``    who is in the photos, where that is known
``llr``                   natural-log likelihood ratio of the score by the calibration in use
``model, model_sha256``   what made the scores
``pipeline_id``           id of the pipeline
========================  =========================================================================

To report on your own scores, write ``a``, ``b``, ``same`` and ``score``; the rest is optional.
Parquet files contain the metadata; for CSV they are in ``NAME.csv.meta.json``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from visavis.errors import DataError, decoding
from visavis.types import OperatingPoint, Record

_LARGEST: Final = 1e9  # a score is a cosine, of other tools perhaps a percentage
_REMEDY: Final = "write the score file again"


@dataclass(frozen=True, slots=True)
class Projection(Record):
    """Templates projected to the plane; they cannot be recovered from it.

    Attributes:
        labels: the photos.
        people: the person of each.
        x: first coordinate of each.
        y: second coordinate of each.
        method: the method, in a sentence.
    """

    labels: tuple[str, ...]
    people: tuple[str, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]
    method: str


@dataclass(frozen=True, slots=True)
class About(Record):
    """Origin of a score file.

    Attributes:
        protocol: name of the pair list.
        command: the command line, or "".
        created: time, ISO 8601 with time zone, or "".
        version: version of visavis, or "".
        notes: remarks for readers of the report.
        photos: number of photos in the pair list; 0 if unknown.
        photo_failures: number of photos without a template, by reason.
        calibration: name of the calibration for the ``llr`` column, or "".
        operating_points: thresholds of this calibration, to check.
        projection: projected templates, or ``None``.
    """

    protocol: str = ""
    command: str = ""
    created: str = ""
    version: str = ""
    notes: tuple[str, ...] = ()
    photos: int = 0
    photo_failures: dict[str, int] = field(default_factory=dict)
    calibration: str = ""
    operating_points: tuple[OperatingPoint, ...] = ()
    projection: Projection | None = None


def from_json(text: str | bytes, source: str) -> About:
    """Rebuild from the JSON of ``to_dict()``; entries of later versions are ignored.

    Raises:
        DataError: the values are not of such a record.
    """
    with decoding(source, DataError, _REMEDY):
        plain = msgspec.json.decode(text, type=dict[str, Any])
    try:
        points = [OperatingPoint.from_dict(one) for one in plain.get("operating_points", ())]
    except (msgspec.ValidationError, TypeError, AttributeError) as error:
        raise DataError(f"{source}: operating_points ({error})", _REMEDY) from error
    plain["operating_points"] = points
    with decoding(source, DataError, _REMEDY):
        return msgspec.convert(plain, About)


Texts: TypeAlias = NDArray[np.object_]
"""``(N,)`` str."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoreFile(Record):
    """A scored pair list, N pairs in the list's order.

    Attributes:
        a: ``(N,)`` first photos.
        b: ``(N,)`` second photos.
        same: ``(N,)`` bool, whether a pair is mated.
        score: ``(N,)`` float64, NaN for failed comparisons.
        failure: ``(N,)`` reasons, "" for scored pairs.
        fold: ``(N,)`` int64, or ``None``.
        group: ``(N,)`` texts, or ``None``.
        person_a: ``(N,)`` names, or ``None``.
        person_b: ``(N,)`` names, or ``None``.
        llr: ``(N,)`` float64, NaN for failed comparisons; ``None`` without a calibration.
        model: name of the model.
        model_sha256: hash of its file.
        pipeline_id: id of the pipeline.
        about: metadata.
    """

    a: Texts
    b: Texts
    same: NDArray[np.bool_]
    score: NDArray[np.float64]
    failure: Texts
    fold: NDArray[np.int64] | None = None
    group: Texts | None = None
    person_a: Texts | None = None
    person_b: Texts | None = None
    llr: NDArray[np.float64] | None = None
    model: str = ""
    model_sha256: str = ""
    pipeline_id: str = ""
    about: About = field(default_factory=About)

    def __post_init__(self) -> None:
        for name in COLUMNS:
            values = getattr(self, name)
            if values is not None and values.shape != self.a.shape:
                raise DataError(
                    f"a score file with {len(self.a)} photos a and {name} of shape {values.shape}",
                    "give each column one value per pair",
                )
        failed = np.isnan(self.score)
        if ((self.failure != "") != failed).any():
            raise DataError(
                "a score file where scores and failures contradict each other",
                "give each pair a score, or a reason why it has none",
            )

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.a)

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Returns ``(N,)`` flags of scored pairs."""
        return ~np.isnan(self.score)


COLUMNS = ("a", "b", "same", "score", "failure", "fold", "group", "person_a", "person_b", "llr")
"""Columns with a value per pair, in the order of the file."""

CONSTANTS = ("model", "model_sha256", "pipeline_id")
"""Columns with one value for all rows."""


def texts(values: Any) -> Texts:
    """Returns strings as an ``(N,)`` object array."""
    listed = list(values)
    array = np.empty(len(listed), dtype=np.object_)
    array[:] = listed
    return array


def checked(
    path: Path, columns: Mapping[str, Any], about: About, *, row: Callable[[int], str]
) -> ScoreFile:
    """Creates a score file from columns, and checks them.

    Args:
        path: the file, for messages.
        columns: arrays by name, see ``ScoreFile``; ``CONSTANTS`` as lists of texts. A failure may
            be missing for a pair without a score.
        about: the metadata.
        row: names a row by its index, from 0.

    Raises:
        DataError: the columns contradict each other.
    """
    if ("person_a" in columns) != ("person_b" in columns):
        raise DataError(f"{path}: people of one side only", "give person_a and person_b, or none")
    score = columns["score"]
    for k in np.flatnonzero(np.abs(score) > _LARGEST)[:1]:
        raise DataError(
            f"{path}, {row(k)}: score is {score[k]}", f"give numbers up to {_LARGEST:g}"
        )
    failed = np.isnan(score)
    failure = columns.get("failure", texts([""] * len(score))).copy()
    failure[failed & (failure == "")] = "not-scored"
    for k in np.flatnonzero((failure != "") & ~failed)[:1]:
        raise DataError(
            f"{path}, {row(k)}: a score and a failure", "keep the score, or the reason for none"
        )
    constants = {}
    for name in CONSTANTS:
        values = columns.get(name, [""])
        for k, value in enumerate(values):
            if value != values[0]:
                raise DataError(
                    f"{path}, {row(k)}: {name} is {value!r} after {values[0]!r}",
                    "keep the scores of one model and one setting in a file",
                )
        constants[name] = values[0]
    arrays = {name: columns.get(name) for name in COLUMNS}
    return ScoreFile(**{**arrays, "failure": failure, **constants}, about=about)
