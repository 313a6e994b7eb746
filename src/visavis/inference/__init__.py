"""Running ONNX graphs: one file to fold them, one for each runtime. Shared by faces and embedding."""

from __future__ import annotations

from visavis.inference.session import RUNTIMES, Session, load

__all__ = ["RUNTIMES", "Session", "load"]
