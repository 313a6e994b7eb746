"""How long a face may be kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.errors import OptionError
from visavis.gallery.entries import instant
from visavis.identification import expiry

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("90d", "2026-06-02T05:06:07+00:00"),
        ("12h", "2026-03-04T17:06:07+00:00"),
        (" 2W ", "2026-03-18T05:06:07+00:00"),
        ("30m", "2026-03-04T05:36:07+00:00"),
        ("2026-03-04", "2026-03-05T00:00:00+00:00"),
        ("2026-03-04T06:00", "2026-03-04T06:00:00+00:00"),
        ("2026-03-04T06:00+01:00", "too late"),
        ("2027-01-01T00:00:00+02:00", "2026-12-31T22:00:00+00:00"),
    ],
)
def test_until_when(text: str, until: str) -> None:
    if until == "too late":
        with pytest.raises(OptionError, match="past"):
            expiry(text, now=NOW)
    else:
        assert expiry(text, now=NOW) == until


@pytest.mark.parametrize(
    "text", ["", "soon", "0d", "-1d", "1.5d", "9999999d", "999999w", "2020-01-01"]
)
def test_refused(text: str) -> None:
    with pytest.raises(OptionError, match=r"90d|past"):
        expiry(text, now=NOW)


@given(st.integers(1, 9999), st.sampled_from("mhdw"))
def test_counted_from_now(number: int, unit: str) -> None:
    seconds = {"m": 60, "h": 3600, "d": 86400, "w": 604800}[unit]
    found = expiry(f"{number}{unit}", now=NOW)
    assert datetime.fromisoformat(found) - NOW == timedelta(seconds=seconds * number)
    assert instant(found)  # the gallery takes it
