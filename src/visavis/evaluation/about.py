"""What a score file says about itself besides its rows."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from visavis.errors import DataError
from visavis.types import OperatingPoint, Record


@dataclass(frozen=True, slots=True)
class Projection(Record):
    """Templates drawn in the plane; the templates cannot be had back from it.

    Attributes:
        labels: the photos.
        people: the person of each.
        x: first coordinate of each.
        y: second coordinate of each.
        method: how it was made, in a sentence.
    """

    labels: tuple[str, ...]
    people: tuple[str, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]
    method: str


@dataclass(frozen=True, slots=True)
class About(Record):
    """Where the rows of a score file come from.

    Attributes:
        protocol: name of the pair list.
        command: the command that made the file, or "".
        created: when, ISO 8601 with its time zone, or "".
        version: version of visavis, or "".
        notes: sentences that a reader of the report should know.
        photos: number of photos in the pair list; 0 where unknown.
        photo_failures: number of photos by reason for which no template could be made.
        calibration: name of the calibration behind the ``llr`` column, or "".
        operating_points: the thresholds of this calibration to check.
        projection: templates drawn in the plane, or ``None``.
    """

    protocol: str = ""
    command: str = ""
    created: str = ""
    version: str = ""
    notes: tuple[str, ...] = ()
    photos: int = 0
    photo_failures: dict[str, int] = dataclasses.field(default_factory=dict)
    calibration: str = ""
    operating_points: tuple[OperatingPoint, ...] = ()
    projection: Projection | None = None


def from_json(text: str | bytes, source: str) -> About:
    """Rebuild from the JSON of ``to_dict()``; entries of later versions are ignored.

    Raises:
        DataError: the values are not of such a record.
    """
    try:
        values = _known(About, json.loads(text))
        values["notes"] = tuple(values.get("notes", ()))
        values["operating_points"] = tuple(
            _operating_point(point) for point in values.get("operating_points", ())
        )
        if values.get("projection") is not None:
            kept = _known(Projection, values["projection"])
            lists = {k: tuple(v) for k, v in kept.items() if isinstance(v, list)}
            values["projection"] = Projection(**{**kept, **lists})
        return About(**values)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise DataError(
            f"{source}: its metadata cannot be read ({error})", "write the score file again"
        ) from error


def _known(kind: type[Any], plain: Any) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in plain.items() if name in names}


def _operating_point(plain: Any) -> OperatingPoint:
    # to_dict writes NaN as None.
    known = _known(OperatingPoint, plain)
    values: dict[str, Any] = {k: float("nan") if v is None else v for k, v in known.items()}
    for name in ("fmr_ci", "fnmr_ci"):
        if name in values:
            low, high = (float("nan") if v is None else v for v in values[name])
            values[name] = (low, high)
    return OperatingPoint(**values)
