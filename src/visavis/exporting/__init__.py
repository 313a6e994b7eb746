"""Writes embedders as files for other runtimes: ONNX, OpenVINO, PyTorch; float, FP16, 8 bits.

Every file takes ``images``, ``(N, 3, S, S)`` float32 RGB of 0..255 with any N, and gives
``embeddings``, ``(N, D)`` float32 rows of unit length: normalization of pixels and of length are
inside.
"""

from __future__ import annotations

from visavis.exporting.source import Source
from visavis.exporting.targets import TARGETS, Target, write

__all__ = ["TARGETS", "Source", "Target", "write"]
