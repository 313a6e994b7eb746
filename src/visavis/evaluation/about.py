"""What a score file says about itself besides its rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from visavis.errors import DataError, decoding
from visavis.types import OperatingPoint, Record

_REMEDY: Final = "write the score file again"


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
