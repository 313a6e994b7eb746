"""Events to send."""

from __future__ import annotations

from typing import Any

from visavis.video.records import VisitEvent


def event(person: str | None = "Anna B.", **changed: Any) -> VisitEvent:
    """A visit of ten seconds."""
    values: dict[str, Any] = {
        "kind": "visit", "visit": 3, "camera": "Door",
        "outcome": "identified" if person else "unknown",
        "person": person, "person_id": "id-7" if person else None, "score": 0.61 if person else 0.3,
        "threshold": 0.45, "fpir": 0.001, "score_fpir": 1e-5,
        "start": "2026-03-01T12:00:00.000+00:00", "end": "2026-03-01T12:00:10.000+00:00",
        "start_s": 5.0, "end_s": 15.0, "frames": 90, "looks": 8, "quality_score": 0.98,
        "box": (10.0, 20.0, 30.0, 40.0), "size": (640, 360),
    }  # fmt: skip
    return VisitEvent(**{**values, **changed})
