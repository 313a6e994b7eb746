"""All triplets of a batch that violate the margin."""

from __future__ import annotations

import torch
from torch import Tensor

from visavis.training.mining.candidates import Triplets

_AT_ONCE = 1 << 24


def batch_all(distances: Tensor, mated: Tensor, nonmated: Tensor, *, margin: float) -> Triplets:
    """Every triplet with ``d(a, p) - d(a, n) + margin > 0``.

    Hermans, Beyer, Leibe: In defense of the triplet loss for person re-identification, 2017. The
    triplets are those of pytorch-metric-learning's ``TripletMarginMiner``, found from the mated
    pairs instead of a B x N x N mask.

    Args:
        distances: ``(B, N)``.
        mated: ``(B, N)`` mask of anchors and positives.
        nonmated: ``(B, N)`` mask of anchors and negatives.
        margin: as the loss has it.

    Returns:
        Rows of anchors, positives and negatives, in ascending order.
    """
    anchors, positives = mated.nonzero(as_tuple=True)
    found = []
    pairs = max(1, _AT_ONCE // max(1, distances.shape[1]))
    for start in range(0, len(anchors), pairs):
        anchor, positive = anchors[start : start + pairs], positives[start : start + pairs]
        shortfall = distances[anchor, positive][:, None] - distances[anchor] + margin
        pair, negative = ((shortfall > 0) & nonmated[anchor]).nonzero(as_tuple=True)
        found.append((anchor[pair], positive[pair], negative))
    if not found:
        return anchors, positives, anchors
    anchor, positive, negative = (torch.cat(part) for part in zip(*found, strict=True))
    return anchor, positive, negative
