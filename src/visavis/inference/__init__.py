"""Runs ONNX graphs: folding, and one file per runtime."""

from __future__ import annotations

from visavis.inference.precision import PRECISIONS, check_file
from visavis.inference.session import RUNTIMES, Session, check_options, load

__all__ = ["PRECISIONS", "RUNTIMES", "Session", "check_file", "check_options", "load"]
