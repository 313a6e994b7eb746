"""Model files: registry, terms of use, and verified local copies.

Uses the network only on request, and uses no file before its SHA-256 is verified.
"""

from __future__ import annotations

from visavis.weights.builtin import BUILTIN
from visavis.weights.registry import Carrier, ModelEntry
from visavis.weights.store import ModelCopy, WeightStore

__all__ = ["BUILTIN", "Carrier", "ModelCopy", "ModelEntry", "WeightStore"]
