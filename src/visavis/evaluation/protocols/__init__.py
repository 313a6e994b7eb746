"""Which photos, which pairs, which of them are mated: one kind of list a file."""

from __future__ import annotations

from visavis.evaluation.protocols import bin, folders, lfw, pairs
from visavis.evaluation.protocols.protocol import Protocol

__all__ = ["Protocol", "bin", "folders", "lfw", "pairs"]
