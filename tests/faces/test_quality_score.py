"""Usability: in range, never rising as a photo gets worse, and where it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.faces.quality import POOR, quality_score
from visavis.types import Quality

GOOD = Quality(
    size=42,
    sharpness=140,
    exposure=0.45,
    contrast=0.2,
    yaw=0,
    pitch=0,
    roll=0,
    detector_score=0.94,
)
ANGLE = st.floats(-180, 180)
QUALITIES = st.builds(
    Quality,
    size=st.floats(0, 500),
    sharpness=st.floats(0, 3000),
    exposure=st.floats(0, 1),
    contrast=st.floats(0, 0.5),
    yaw=ANGLE,
    pitch=ANGLE,
    roll=ANGLE,
    detector_score=st.floats(0, 1),
)


@given(QUALITIES)
def test_it_is_a_share(quality) -> None:
    assert 0 <= quality_score(quality) <= 1


@given(QUALITIES, st.floats(0, 1))
def test_it_never_rises_as_a_measure_gets_worse(quality, share) -> None:
    for name in ("size", "sharpness", "contrast", "detector_score"):
        worse = replace(quality, **{name: share * getattr(quality, name)})
        assert quality_score(worse) <= quality_score(quality)
    for name in ("yaw", "pitch", "roll"):
        better = replace(quality, **{name: share * getattr(quality, name)})
        assert quality_score(better) >= quality_score(quality)
    # Exposure is best in the middle.
    better = replace(quality, exposure=0.45 + share * (quality.exposure - 0.45))
    assert quality_score(better) >= quality_score(quality) - 1e-12


def test_left_and_right_are_alike() -> None:
    assert quality_score(replace(GOOD, yaw=50)) == quality_score(replace(GOOD, yaw=-50))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"size": 200, "sharpness": 60},  # a passport photo, scanned
        {"size": 20, "sharpness": 40},  # a face in a family photo
        {"size": 12, "sharpness": 33, "detector_score": 0.92},
        {"yaw": 40},
        {"exposure": 0.25, "contrast": 0.12},  # indoors
        {"exposure": 0.64, "contrast": 0.25},  # flash
        {"roll": 60},
    ],
)
def test_ordinary_photos_are_not_poor(change) -> None:
    assert quality_score(replace(GOOD, **change)) > POOR


@pytest.mark.parametrize(
    "change",
    [
        {"size": 5, "sharpness": 10, "detector_score": 0.88},
        {"sharpness": 3},
        {"yaw": 70},
        {"exposure": 0.02},
        {"exposure": 0.95},
        {"contrast": 0.01},
        {"detector_score": 0.5},
        {"size": float("nan")},
    ],
)
def test_photos_that_say_little_are_poor(change) -> None:
    assert quality_score(replace(GOOD, **change)) < POOR
