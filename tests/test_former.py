"""What is recognized in files of former versions."""

from __future__ import annotations

import pytest

from visavis.former import levelled

YUNET = "yunet-2023mar/min20/0.8-0.1/level96+128/turn0.91-0.925, similarity-5pt-112*0.97"


@pytest.mark.parametrize(
    ("pipeline_id", "answer"),
    [
        (f"{YUNET}, plain levelled b9c16127", True),
        (f"{YUNET}, flip levelled 0123abcd", True),
        (f"{YUNET}, plain levelled b9c16127, central", True),  # with a face rule
        (f"{YUNET}, plain", False),  # "level" is a word of the detector's, too
        (f"{YUNET}, flip, all", False),
        ("", False),
        ("my levelled detector, crop, plain", False),
    ],
)
def test_levelled(pipeline_id: str, answer: bool) -> None:
    assert levelled(pipeline_id) is answer
