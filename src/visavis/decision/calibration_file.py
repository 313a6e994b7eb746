"""Reads and writes a calibration as JSON; checks every value when it is read.

A wrong threshold would still give an answer, so nobody would notice it. Therefore types, ranges and
order are checked, and a checksum shows whether a value was changed after the file was written.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from visavis.errors import CalibrationError, decoding
from visavis.former import renamed

SCHEMA: Final = 3
_FORMER: Final = (1, 2)  # 1 without ``domain`` and ``centered``; both with ``former.RENAMED``
_DIGEST: Final = "sha256"
_REMEDY: Final = "restore it from a copy, or make a new one: `visavis calibrate`"
_MOST: Final = 2**63

_Count: TypeAlias = Annotated[int, Meta(ge=0, lt=_MOST - 1)]
_Number: TypeAlias = Annotated[float, Meta(gt=-_MOST, lt=_MOST)]
_Rate: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
# A cosine of float32 may exceed 1 a little.
_Score: TypeAlias = Annotated[float, Meta(ge=-1 - 1e-5, le=1 + 1e-5)]
_Interval: TypeAlias = tuple[_Rate | None, _Rate | None]
_Numbers: TypeAlias = Annotated[tuple[_Number, ...], Meta(min_length=1)]
_Scores: TypeAlias = Annotated[tuple[_Score, ...], Meta(min_length=1)]
_Spreads: TypeAlias = Annotated[
    tuple[Annotated[float, Meta(ge=0, lt=_MOST)], ...], Meta(min_length=1)
]


class _Point(msgspec.Struct, forbid_unknown_fields=True):
    """An operating point in the file; ``null`` is NaN."""

    model: str
    model_sha256: str
    threshold: _Score
    fmr: _Rate
    fmr_ci: _Interval
    fnmr: _Rate | None
    dataset: str
    pairs: _Count
    target_fmr: Annotated[float, Meta(gt=0, le=1)]
    people: _Count
    mated_pairs: _Count
    fnmr_ci: _Interval
    ties: _Count
    pipeline_id: str


class _Evidence(msgspec.Struct, forbid_unknown_fields=True):
    method: str
    scores: _Numbers
    llrs: _Numbers


class _Reference(msgspec.Struct):
    quantiles: Annotated[tuple[_Rate, ...], Meta(min_length=1)] | UnsetType = UNSET
    non_mated: _Scores | UnsetType = UNSET
    mated: _Scores | UnsetType = UNSET
    shape: tuple[_Number, _Number, _Number, _Number] | UnsetType = UNSET
    person_scores: _Scores | UnsetType = UNSET
    person_fmr: (
        Annotated[tuple[Annotated[float, Meta(ge=1e-300, le=1)], ...], Meta(min_length=1)]
        | UnsetType
    ) = UNSET
    person_spread: _Spreads | UnsetType = UNSET
    person_log_sd: _Spreads | UnsetType = UNSET
    person_count: tuple[Annotated[float, Meta(ge=2, lt=_MOST)]] | UnsetType = UNSET


class _Measured(msgspec.Struct, forbid_unknown_fields=True):
    points: Annotated[tuple[_Point, ...], Meta(min_length=1)]
    evidence: tuple[_Evidence, ...]
    reference: _Reference | None


class _Calibration(_Measured, forbid_unknown_fields=True):
    name: str
    model: str
    model_sha256: str
    pipeline_id: str
    method: str
    dataset: str
    people: _Count
    photos: _Count
    failures: _Count
    created: str
    command: str
    note: str
    domain: dict[str, Any] | None
    centered: _Measured | None


_TABLES: Final = (
    ("quantiles", "non_mated", "mated"),
    ("person_scores", "person_fmr", "person_spread", "person_log_sd"),
)


def dumps(plain: Mapping[str, Any]) -> str:
    """Format a calibration's values as the JSON document that ``loads`` reads."""
    whole = {"schema": SCHEMA, **plain}
    return json.dumps({**whole, _DIGEST: _digest(whole)}, ensure_ascii=False, indent=1)


def loads(text: str, *, source: str) -> dict[str, Any]:
    """The checked values of a calibration, as plain JSON values.

    Args:
        text: what ``dumps`` wrote; the checksum may be missing, as in files of former versions.
        source: the file, for messages.

    Raises:
        CalibrationError: not such a document; the message names the field.
    """
    with decoding(source, CalibrationError, _REMEDY):
        plain = msgspec.json.decode(text, type=dict[str, Any])
    if plain.get("schema") not in (*_FORMER, SCHEMA):
        raise CalibrationError(
            f"{source}: schema {str(plain.get('schema'))[:40]}, not {SCHEMA}",
            "make a new one with `visavis calibrate`, or use the version that made this file",
        )
    said = plain.pop(_DIGEST, None)
    digest = _digest(plain)
    if plain.pop("schema") in _FORMER:
        plain = {"domain": None, "centered": None, **renamed(plain)}
    with decoding(source, CalibrationError, _REMEDY):
        values = msgspec.convert(plain, _Calibration)
    wrong = _disorder(values) or (
        _disorder(values.centered, "centered.") if values.centered else ""
    )
    if not wrong and said not in (None, digest):
        wrong = "its values are not those that were written (sha256 differs)"
    if wrong:
        raise CalibrationError(f"{source}: {wrong}", _REMEDY)
    return plain


def _digest(plain: Mapping[str, Any]) -> str:
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _disorder(values: _Measured, at: str = "") -> str:
    """Returns the first contradiction, starting with its field; "" if there is none."""
    for k, point in enumerate(values.points):
        if point.fmr > point.target_fmr * (1 + 1e-9):
            return f"{at}points[{k}].fmr is above its target_fmr"
        for key in ("fmr_ci", "fnmr_ci"):
            low, high = getattr(point, key)
            if low is not None and high is not None and low > high:
                return f"{at}points[{k}].{key} ends before it starts"
    reference = {} if values.reference is None else msgspec.structs.asdict(values.reference)
    known = {key: column for key, column in reference.items() if column is not UNSET}
    for table in _TABLES:
        if len({len(known[key]) for key in table if key in known}) > 1:
            return f"{at}reference.{table[0]} and its columns differ in length"
    rising: dict[str, Sequence[float]] = {
        "points target_fmr": [-point.target_fmr for point in values.points],
        "points threshold": [point.threshold for point in values.points],
        **{f"reference.{key}": known.get(key, ()) for key in ("quantiles", "person_scores")},
    }
    for k, one in enumerate(values.evidence):
        if len(one.scores) != len(one.llrs):
            return f"{at}evidence[{k}].scores and its llrs differ in length"
        rising |= {f"evidence[{k}].scores": one.scores, f"evidence[{k}].llrs": one.llrs}
    for name, numbers in rising.items():
        if any(after < before for before, after in pairwise(numbers)):
            return f"{at}{name} is out of order"
    return ""
