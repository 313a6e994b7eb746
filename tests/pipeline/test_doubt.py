"""Poor photos: which scores cannot tell."""

from __future__ import annotations

from math import nan

import cv2
import numpy as np
import pytest

from visavis.decision.profile import Calibration
from visavis.pipeline import Recognizer, comparison
from visavis.pipeline.comparison import compare
from visavis.types import Face, Quality, Template
from visavis.weights.builtin import BUILTIN

MARGIN = comparison.MARGINS[BUILTIN["sface"].sha256]
THRESHOLD = 0.4


def template(
    magnitude: float, *, photo: str = "a.jpg", cosine: float = 1.0, sha256: str = ""
) -> Template:
    """One whose score with ``template(...)`` of cosine 1 is ``cosine``."""
    vector = np.zeros(128, np.float32)
    vector[:2] = cosine, np.sqrt(1 - cosine**2)
    return Template(
        vector=vector,
        model="sface",
        model_sha256=sha256 or BUILTIN["sface"].sha256,
        face=Face((0.0, 0.0, 9.0, 9.0), np.zeros((5, 2), np.float32), 0.9),
        quality=Quality(40, 100, 0.5, 0.2, 0, 0, 0, 0.9),
        photo=photo,
        magnitude=magnitude,
    )


def cannot_tell(a: float, b: float, score: float) -> bool:
    reason = comparison.doubt(
        template(a), template(b, photo="b.jpg"), score=score, threshold=THRESHOLD
    )
    return reason is not None


def test_between_clear_photos_every_score_tells() -> None:
    for score in np.linspace(-1, 1, 201):
        assert not cannot_tell(MARGIN.clear, MARGIN.clear + 1, float(score))


def test_one_poor_photo_makes_a_lower_score_worthless_and_no_higher_one() -> None:
    poor = MARGIN.clear - 2
    margin = 2 * MARGIN.slope
    for a, b in ((poor, 13.0), (13.0, poor)):
        assert cannot_tell(a, b, THRESHOLD - 0.9 * margin)
        assert not cannot_tell(a, b, THRESHOLD - 1.1 * margin)
        assert not cannot_tell(a, b, THRESHOLD)


def test_two_poor_photos_make_a_higher_score_worthless_too() -> None:
    better, poor = MARGIN.clear - 1, MARGIN.clear - 3
    assert cannot_tell(poor, better, THRESHOLD)
    assert cannot_tell(better, poor, THRESHOLD + 0.9 * MARGIN.slope)
    assert not cannot_tell(poor, better, THRESHOLD + 1.1 * MARGIN.slope)
    assert cannot_tell(poor, better, THRESHOLD - 2.9 * MARGIN.slope)


def test_a_photo_that_shows_nothing_never_tells_two_people_apart() -> None:
    assert cannot_tell(MARGIN.blind - 0.1, 13.0, -1.0)
    assert not cannot_tell(MARGIN.blind - 0.1, 13.0, THRESHOLD)
    assert cannot_tell(MARGIN.blind - 0.1, MARGIN.blind - 1, 1.0)


def test_the_margin_never_falls_as_photos_get_poorer() -> None:
    margins = [MARGIN.at(magnitude) for magnitude in np.linspace(20, 0, 400)]
    assert margins == sorted(margins)


def test_what_was_not_measured_is_not_doubted() -> None:
    assert not cannot_tell(nan, nan, THRESHOLD)
    other = template(1.0, sha256="ab" * 32)
    assert comparison.doubt(other, other, score=THRESHOLD, threshold=THRESHOLD) is None


def test_the_reason_names_the_poor_photo_alone() -> None:
    reason = comparison.doubt(
        template(12.9), template(9.0, photo="door.jpg"), score=0.35, threshold=THRESHOLD
    )
    assert reason is not None
    assert "door.jpg (magnitude 9.0)" in reason
    assert "0.050 below" in reason
    assert "a.jpg" not in reason


@pytest.mark.parametrize(
    ("away", "magnitude", "same"),
    [(-0.02, 13.0, False), (-0.02, 9.0, None), (0.02, 9.0, None), (0.3, 9.0, True)],
)
def test_the_answer_is_none_where_the_score_cannot_tell(
    calibration: Calibration, away: float, magnitude: float, same: bool | None
) -> None:
    score = calibration.operating_point(1e-2).threshold + away
    answer = compare(
        [template(magnitude)],
        [template(magnitude, cosine=score)],
        calibration=calibration,
        pipeline_id=calibration.pipeline_id,
        fmr=1e-2,
    )
    assert answer.same is same
    assert (answer.reason is None) == (same is not None)
    assert answer.to_dict()["same"] is same
    assert answer.score == pytest.approx(score, abs=1e-6)
    assert answer.a.magnitude == magnitude


def test_a_face_blurred_away_is_not_called_different(portrait: np.ndarray) -> None:
    """The same person, ever less sharp: after "same" comes "cannot tell", and never "different"."""
    recognizer = Recognizer()
    mirrored = np.ascontiguousarray(portrait[:, ::-1])
    answers = [
        recognizer.verify(portrait, np.asarray(cv2.GaussianBlur(mirrored, (0, 0), sigma)))
        for sigma in (1, 6, 8)
    ]
    assert [answer.same for answer in answers] == [True, None, None]
    magnitudes = [answer.b.magnitude for answer in answers]
    assert magnitudes == sorted(magnitudes, reverse=True)
