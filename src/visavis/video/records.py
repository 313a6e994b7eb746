"""Results of watching a video."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from visavis.types import Record

OUTCOMES: Final = {
    "identified": "an enrolled person",
    "unknown": "nobody who is enrolled",
    "no-usable-face": "a face too small, blurred, dark or turned in every frame",
}
"""What a visit came to."""


@dataclass(frozen=True, slots=True)
class VisitEvent(Record):
    """One visit: a person in front of the camera, from the first frame to the last.

    Attributes:
        kind: ``visit`` when it has ended, ``arrival`` as soon as it was decided (only if asked
            for). Both have the same ``visit`` and the same decision.
        visit: number of the visit: 1, 2, 3, ...
        camera: name of the camera.
        outcome: one of ``OUTCOMES``.
        person: name; ``None`` unless identified.
        person_id: opaque id of the person; ``None`` unless identified.
        score: mean score of the frames with the best person, weighted by quality; ``None`` if
            there is no usable face, or nobody is enrolled.
        threshold: score from which a visit gets a name; ``None`` as for ``score``.
        fpir: accepted probability that the visit of a person who is not enrolled gets a name.
        score_fpir: probability that such a visit reaches this score; an upper limit where the data
            end.
        start: ISO 8601 UTC time of the first frame; ``None`` for a file.
        end: the same of the last frame so far.
        start_s: seconds from the start of the video to the first frame.
        end_s: the same of the last frame so far.
        frames: frames in which the face was found.
        looks: frames whose templates were fused.
        quality_score: of the best frame, 0 to 1.
        box: of the face in the best frame, ``(x, y, width, height)`` in pixels of the picture
            that was analyzed.
        size: width and height of that picture.
        warnings: sentences, such as a close second person.
        crop: file of the saved picture; ``None`` if none was saved.
    """

    kind: str
    visit: int
    camera: str
    outcome: str
    person: str | None
    person_id: str | None
    score: float | None
    threshold: float | None
    fpir: float
    score_fpir: float | None
    start: str | None
    end: str | None
    start_s: float
    end_s: float
    frames: int
    looks: int
    quality_score: float
    box: tuple[float, float, float, float]
    size: tuple[int, int]
    warnings: tuple[str, ...] = ()
    crop: str | None = None

    @property
    def sentence(self) -> str:
        """The event in words: ``Anna, 14:03:11 to 14:03:19, FPIR 1e-3``.

        Times are local for a stream, and positions in the video for a file.
        """
        name = self.person or self.outcome.replace("-", " ")
        first, last = _clock(self.start, self.start_s), _clock(self.end, self.end_s)
        when = f"since {first}" if self.kind == "arrival" else f"{first} to {last}"
        if self.outcome != "identified":
            return f"{name}, {when}"
        return f"{name}, {when}, FPIR {_rate(self.fpir)}"


def _clock(moment: str | None, seconds: float) -> str:
    if moment is not None:
        return datetime.fromisoformat(moment).astimezone().strftime("%H:%M:%S")
    return str(timedelta(seconds=int(seconds))).rjust(8, "0")


def _rate(fpir: float) -> str:
    """Formats a rate.

    >>> _rate(0.001), _rate(0.0035), _rate(0.2)
    ('1e-3', '3.5e-3', '2e-1')
    """
    digits, _, power = f"{fpir:.1e}".partition("e")
    return f"{digits.removesuffix('.0')}e{int(power)}"
