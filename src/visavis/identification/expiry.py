"""Parses expiry times of enrolled faces."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from visavis.errors import OptionError

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_REMEDY: Final = "say how long, such as 90d, 12h or 2w, or until when, such as 2027-01-31"


def expiry(text: str, *, now: datetime) -> str:
    """Returns the time after which a face is erased, as ISO 8601 UTC.

    Args:
        text: a number with ``m`` (minutes), ``h``, ``d`` or ``w``, counted from ``now``; or an ISO
            8601 date (its end, in UTC) or time (UTC where it names no zone).
        now: time with a time zone.

    Raises:
        OptionError: neither, or in the past.

    >>> expiry("90d", now=datetime(2026, 1, 1, tzinfo=UTC))
    '2026-04-01T00:00:00+00:00'
    >>> expiry("2026-01-31", now=datetime(2026, 1, 1, tzinfo=UTC))
    '2026-02-01T00:00:00+00:00'
    """
    short = re.fullmatch(r"([0-9]{1,6})([mhdw])", text.strip().lower())
    try:
        if short:
            when = now + timedelta(**{_UNITS[short[2]]: int(short[1])})
        else:
            when = datetime.fromisoformat(text.strip())
            if when.tzinfo is None:
                when = when.replace(tzinfo=UTC)
            if re.fullmatch(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}", text.strip()):
                when += timedelta(days=1)
        when = when.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise OptionError(f"an expiry of {text!r}", _REMEDY) from error
    if when <= now:
        raise OptionError(f"an expiry of {text!r}, which is past", _REMEDY)
    return when.isoformat(timespec="seconds")
