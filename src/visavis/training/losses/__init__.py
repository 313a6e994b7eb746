"""Losses from raw embeddings and person labels.

Each is a ``torch.nn.Module`` with ``forward(raw, labels) -> LossValue``: ``raw`` is the ``(B, D)``
output of a network before it is brought to unit length, ``labels`` the ``(B,)`` int64 person of
each row. All compute in float32 (float64 if given that), also under autocast. With several
processes, give each the joined batch: what a loss keeps (classifier, memory, running statistics)
is then alike in all, and all of it is in its ``state_dict``. Torch loads with ``build_loss``.
"""

from __future__ import annotations

from visavis.training.losses.build import build_loss
from visavis.training.losses.options import KINDS, LossOptions

__all__ = ["KINDS", "LossOptions", "build_loss"]
