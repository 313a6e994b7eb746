"""Evaluation protocols: photos and labelled pairs. One kind of list per file."""

from __future__ import annotations

from visavis.evaluation.protocols import bin, folders, lfw, pairs
from visavis.evaluation.protocols.protocol import Protocol

__all__ = ["Protocol", "bin", "folders", "lfw", "pairs"]
