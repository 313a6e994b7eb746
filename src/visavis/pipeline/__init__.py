"""Combines images, faces, embedding and decision."""

from __future__ import annotations

from visavis.pipeline.extractor import Extractor, RecognizerOptions
from visavis.pipeline.recognizer import Recognizer
from visavis.pipeline.records import FaceUsed, PhotoResult, Verification
from visavis.pipeline.rules import RULES

__all__ = [
    "RULES",
    "Extractor",
    "FaceUsed",
    "PhotoResult",
    "Recognizer",
    "RecognizerOptions",
    "Verification",
]
