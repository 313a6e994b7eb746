"""Converts times to microseconds since 1970 and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEP = timedelta(microseconds=1)


def microseconds(when: str) -> int:
    """Returns microseconds since 1970 of an ISO 8601 time with a time zone.

    >>> microseconds("1970-01-01T00:00:01+00:00")
    1000000
    """
    return (datetime.fromisoformat(when) - _EPOCH) // _STEP


def written(micros: int) -> str:
    """Returns microseconds since 1970 as an ISO 8601 UTC time.

    >>> written(1)
    '1970-01-01T00:00:00.000001+00:00'
    """
    return (_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="microseconds")


def now() -> int:
    """Returns the current time in microseconds since 1970."""
    return (datetime.now(UTC) - _EPOCH) // _STEP
