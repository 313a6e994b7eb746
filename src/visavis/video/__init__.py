"""Video: frames of files, streams and cameras; tracks of faces; visits; where events go."""

from __future__ import annotations

from visavis.video.analysis import FrameAnalyzer
from visavis.video.records import OUTCOMES, VisitEvent
from visavis.video.source import Frame, SourceOptions, frames, redacted
from visavis.video.visits import Visits, VisitsOptions

__all__ = [
    "OUTCOMES",
    "Frame",
    "FrameAnalyzer",
    "SourceOptions",
    "VisitEvent",
    "Visits",
    "VisitsOptions",
    "frames",
    "redacted",
]
