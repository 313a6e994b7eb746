"""Model files: which there are, what they may be used for, and a verified copy of each.

Nothing here touches the network unless asked to, and no byte of a model is used before its SHA-256
is checked.
"""

from __future__ import annotations

from visavis.weights.builtin import BUILTIN
from visavis.weights.copies import ModelCopy
from visavis.weights.entry import Carrier, ModelEntry
from visavis.weights.store import WeightStore

__all__ = ["BUILTIN", "Carrier", "ModelCopy", "ModelEntry", "WeightStore"]
