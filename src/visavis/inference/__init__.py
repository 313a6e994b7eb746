"""Runs ONNX graphs: folding, and one file per runtime."""

from __future__ import annotations

from visavis.inference.session import RUNTIMES, Session, check_options, load

__all__ = ["RUNTIMES", "Session", "check_options", "load"]
