"""Reads and writes a calibration as JSON; checks every value when it is read.

A wrong threshold would still give an answer, so nobody would notice it. Therefore types, ranges and
order are checked, and a checksum shows whether a value was changed after the file was written.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from visavis.errors import CalibrationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCHEMA: Final = 2
_FORMER: Final = 1  # without ``domain`` and ``centered``
_DIGEST: Final = "sha256"
_REMEDY: Final = "restore it from a copy, or make a new one: `visavis calibrate`"
_MOST: Final = 2**63

Check = Callable[[Any, str], Any]
"""Takes a value and the name of its field; returns the value as records hold it."""


class _WrongError(Exception):
    """A field with a value that is not allowed."""


def dumps(plain: Mapping[str, Any]) -> str:
    """Format a calibration's values as the JSON document that ``loads`` reads."""
    whole = {"schema": SCHEMA, **plain}
    return json.dumps({**whole, _DIGEST: _digest(whole)}, ensure_ascii=False, indent=1)


def loads(text: str, *, source: str) -> dict[str, Any]:
    """The checked values of a calibration, points and evidence as dictionaries.

    Args:
        text: what ``dumps`` wrote; the checksum may be missing, as in files of former versions.
        source: the file, for messages.

    Raises:
        CalibrationError: not such a document; the message names the field.
    """
    try:
        plain = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise CalibrationError(f"{source}: not JSON ({error})", _REMEDY) from error
    if not isinstance(plain, dict):
        raise CalibrationError(f"{source}: not a JSON object", _REMEDY)
    if plain.get("schema") not in (_FORMER, SCHEMA):
        raise CalibrationError(
            f"{source}: schema {_short(plain.get('schema'))}, not {SCHEMA}",
            "make a new one with `visavis calibrate`, or use the version that made this file",
        )
    said = plain.pop(_DIGEST, None)
    digest = _digest(plain)
    if plain.pop("schema") == _FORMER:
        plain |= {"domain": None, "centered": None}
    try:
        values: dict[str, Any] = _record(_CALIBRATION)(plain, "")
        _check_order(values)
    except _WrongError as error:
        raise CalibrationError(f"{source}: {error}", _REMEDY) from None
    if said is not None and said != digest:
        raise CalibrationError(
            f"{source}: its values are not those that were written (sha256 differs)", _REMEDY
        )
    return values


def _digest(plain: Mapping[str, Any]) -> str:
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _text(value: Any, at: str) -> str:
    if not isinstance(value, str):
        raise _WrongError(f"{at} is {_short(value)}, not a text")
    return value


def _number(low: float = -math.inf, high: float = math.inf, *, unknown: bool = False) -> Check:
    """A finite number in [low, high]; ``null`` is NaN where it may be unknown."""

    def check(value: Any, at: str) -> float:
        if value is None and unknown:
            return math.nan
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not low <= value <= high or not abs(value) < _MOST:
            between = (
                "a finite number" if math.isinf(low) else f"a number in [{low:.3g}, {high:.3g}]"
            )
            raise _WrongError(f"{at} is {_short(value)}, not {between}")
        return float(value)

    return check


def _count(value: Any, at: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _MOST:
        raise _WrongError(f"{at} is {_short(value)}, not a count")
    return value


def _tuple(check: Check, *, least: int = 1, most: int = 1 << 20) -> Check:
    def several(value: Any, at: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or not least <= len(value) <= most:
            many = f"{least}" if least == most else f"{least} or more"
            raise _WrongError(f"{at} is {_short(value)}, not a list of {many}")
        return tuple(check(one, f"{at}[{k}]") for k, one in enumerate(value))

    return several


def _record(checks: Mapping[str, Check]) -> Check:
    def record(value: Any, at: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _WrongError(f"{at} is {_short(value)}, not an object")
        lead = f"{at}." if at else ""
        for odd in (*(checks.keys() - value.keys()), *(value.keys() - checks.keys())):
            raise _WrongError(
                f"{lead}{odd} is {'missing' if odd in checks else 'not a known field'}"
            )
        return {key: check(value[key], f"{lead}{key}") for key, check in checks.items()}

    return record


def _reference(value: Any, at: str) -> dict[str, tuple[float, ...]] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _WrongError(f"{at} is {_short(value)}, not an object")
    found = {k: _REFERENCE.get(k, _tuple(_number()))(v, f"{at}.{k}") for k, v in value.items()}
    for table in _TABLES:
        lengths = {len(found[key]) for key in table if key in found}
        if len(lengths) > 1:
            raise _WrongError(f"{at}.{table[0]} and its columns differ in length")
    return found


def _optional(check: Check) -> Check:
    return lambda value, at: None if value is None else check(value, at)


def _floats(value: Any, at: str) -> NDArray[np.float32]:
    """float32 numbers, little-endian, in base64: exact, and a quarter of the digits' length."""
    import base64

    import numpy as np

    try:
        numbers = np.frombuffer(base64.b64decode(_text(value, at), validate=True), "<f4")
    except ValueError:
        raise _WrongError(f"{at} is {_short(value)}, not float32 numbers in base64") from None
    if not len(numbers) or not np.isfinite(numbers).all():
        raise _WrongError(f"{at} holds numbers that are not finite, or none")
    return numbers.astype(np.float32)


def _domain(value: Any, at: str) -> dict[str, Any]:
    found: dict[str, Any] = _record(_DOMAIN)(value, at)
    size, map_ = len(found["mean"]), found["whitening"]
    if found["mean_b"] is not None and len(found["mean_b"]) != size:
        raise _WrongError(f"{at}.mean and {at}.mean_b differ in length")
    if map_ is not None and len(map_) != size**2:
        raise _WrongError(f"{at}.whitening has {len(map_)} numbers, not {size}x{size}")
    if map_ is not None:
        found["whitening"] = map_.reshape(size, size)
    return found


def _short(value: Any) -> str:
    text = "null" if value is None else json.dumps(value, default=str)
    return text if len(text) <= 40 else f"{text[:40]}…"


def _check_order(values: Mapping[str, Any]) -> None:
    if values.get("centered") is not None:
        try:
            _check_order(values["centered"])
        except _WrongError as error:
            raise _WrongError(f"centered.{error}") from None
    points = values["points"]
    for k, point in enumerate(points):
        if point["fmr"] > point["target_fmr"] * (1 + 1e-9):
            raise _WrongError(f"points[{k}].fmr is above points[{k}].target_fmr")
        for key in ("fmr_ci", "fnmr_ci"):
            if point[key][0] > point[key][1]:
                raise _WrongError(f"points[{k}].{key} ends before it starts")
    _rises([-point["target_fmr"] for point in points], "points", ".target_fmr falls")
    _rises([point["threshold"] for point in points], "points", ".threshold rises as rates fall")
    for k, one in enumerate(values["evidence"]):
        if len(one["scores"]) != len(one["llrs"]):
            raise _WrongError(f"evidence[{k}].scores and evidence[{k}].llrs differ in length")
        _rises(one["scores"], f"evidence[{k}].scores", " rises")
        _rises(one["llrs"], f"evidence[{k}].llrs", " rises")
    for key in ("quantiles", "person_scores"):
        _rises((values["reference"] or {}).get(key, ()), f"reference.{key}", " rises")


def _rises(numbers: Sequence[float], at: str, what: str) -> None:
    for k in range(1, len(numbers)):
        if numbers[k] < numbers[k - 1]:
            raise _WrongError(f"{at}[{k}] is out of order: {at}[]{what}")


_RATE: Final = _number(0, 1)
_SCORE: Final = _number(-1 - 1e-5, 1 + 1e-5)  # a cosine of float32 may exceed 1 a little
_POINT: Final[Mapping[str, Check]] = {
    "model": _text,
    "model_sha256": _text,
    "threshold": _SCORE,
    "fmr": _RATE,
    "fmr_ci": _tuple(_number(0, 1, unknown=True), least=2, most=2),
    "fnmr": _number(0, 1, unknown=True),
    "dataset": _text,
    "pairs": _count,
    "target_fmr": _number(5e-324, 1),
    "people": _count,
    "mated_pairs": _count,
    "fnmr_ci": _tuple(_number(0, 1, unknown=True), least=2, most=2),
    "ties": _count,
    "settings": _text,
}
_EVIDENCE: Final[Mapping[str, Check]] = {
    "method": _text,
    "scores": _tuple(_number()),
    "llrs": _tuple(_number()),
}
_MEASURED: Final[Mapping[str, Check]] = {
    "points": _tuple(_record(_POINT)),
    "evidence": _tuple(_record(_EVIDENCE), least=0),
    "reference": _reference,
}
_DOMAIN: Final[Mapping[str, Check]] = {
    "mean": _floats,
    "photos": _count,
    "people": _count,
    "mean_b": _optional(_floats),
    "photos_b": _count,
    "people_b": _count,
    "whitening": _optional(_floats),
    "shrinkage": _RATE,
}
_CALIBRATION: Final[Mapping[str, Check]] = {
    "name": _text,
    "model": _text,
    "model_sha256": _text,
    "settings": _text,
    "method": _text,
    **_MEASURED,
    "dataset": _text,
    "people": _count,
    "photos": _count,
    "failures": _count,
    "created": _text,
    "command": _text,
    "note": _text,
    "domain": _optional(_domain),
    "centered": _optional(_record(_MEASURED)),
}
_REFERENCE: Final[Mapping[str, Check]] = {
    "quantiles": _tuple(_RATE),
    "non_mated": _tuple(_SCORE),
    "mated": _tuple(_SCORE),
    "shape": _tuple(_number(), least=4, most=4),
    "person_scores": _tuple(_SCORE),
    "person_fmr": _tuple(_number(1e-300, 1)),
    "person_spread": _tuple(_number(0, _MOST)),
    "person_log_sd": _tuple(_number(0, _MOST)),
    "person_count": _tuple(_number(2, _MOST), most=1),
}
_TABLES: Final = (
    ("quantiles", "non_mated", "mated"),
    ("person_scores", "person_fmr", "person_spread", "person_log_sd"),
)
