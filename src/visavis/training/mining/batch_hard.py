"""The hardest triplet of each anchor."""

from __future__ import annotations

import torch
from torch import Tensor

from visavis.training.mining.candidates import Triplets


def batch_hard(distances: Tensor, mated: Tensor, nonmated: Tensor) -> Triplets:
    """For each anchor that has both, its farthest positive and its nearest negative.

    Hermans, Beyer, Leibe: In defense of the triplet loss for person re-identification, 2017.
    Equal to pytorch-metric-learning's ``BatchHardMiner``, but a row is never its own positive
    when the reference holds more than the batch.

    Args:
        distances: ``(B, N)``.
        mated: ``(B, N)`` mask of anchors and positives.
        nonmated: ``(B, N)`` mask of anchors and negatives.

    Returns:
        Rows of anchors, positives and negatives, by anchor.
    """
    (anchors,) = (mated.any(dim=1) & nonmated.any(dim=1)).nonzero(as_tuple=True)
    farthest = distances.masked_fill(~mated, -torch.inf).argmax(dim=1)
    nearest = distances.masked_fill(~nonmated, torch.inf).argmin(dim=1)
    return anchors, farthest[anchors], nearest[anchors]
