"""Augmentation of batches of aligned crops."""

from __future__ import annotations

from visavis.training.augment.options import AugmentOptions

__all__ = ["AugmentOptions"]
