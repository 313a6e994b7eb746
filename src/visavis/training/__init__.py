"""Learning the similarity: data, batches, losses, the trainer, recipes and their outcome."""

from __future__ import annotations
