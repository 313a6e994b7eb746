"""Running ONNX graphs for faces and embedding: one file to fold them, one for each runtime."""

from __future__ import annotations

from visavis.inference.session import RUNTIMES, Session, check_options, load

__all__ = ["RUNTIMES", "Session", "check_options", "load"]
