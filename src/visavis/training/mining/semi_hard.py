"""FaceNet's semi-hard negatives."""

from __future__ import annotations

import torch
from torch import Tensor

from visavis.training.mining.candidates import Triplets

_AT_ONCE = 1 << 23


def semi_hard(
    distances: Tensor,
    mated: Tensor,
    nonmated: Tensor,
    *,
    margin: float,
    generator: torch.Generator,
) -> Triplets:
    """For each mated pair a negative that is farther than the positive, but within the margin.

    One is drawn evenly from those with ``d(a, p) < d(a, n) < d(a, p) + margin``; a pair without
    any gives no triplet. Schroff, Kalenichenko, Philbin: FaceNet, CVPR 2015, section 3.2.
    (pytorch-metric-learning's ``TripletMarginMiner`` takes all of them instead of one a pair, so
    that pairs with many easy negatives outweigh the rest.)

    Args:
        distances: ``(B, N)``.
        mated: ``(B, N)`` mask of anchors and positives.
        nonmated: ``(B, N)`` mask of anchors and negatives.
        margin: as the loss has it.
        generator: on the distances' device; determines the draws.

    Returns:
        Rows of anchors, positives and negatives, in ascending order of anchor and positive.
    """
    anchors, positives = mated.nonzero(as_tuple=True)
    negatives, exist = torch.zeros_like(anchors), torch.zeros_like(anchors, dtype=torch.bool)
    pairs = max(1, _AT_ONCE // max(1, distances.shape[1]))
    for start in range(0, len(anchors), pairs):
        part = slice(start, start + pairs)
        far = distances[anchors[part]]
        near = distances[anchors[part], positives[part]][:, None]
        eligible = nonmated[anchors[part]] & (far > near) & (far < near + margin)
        lots = torch.rand(far.shape, generator=generator, device=far.device)
        best, negatives[part] = lots.masked_fill(~eligible, -1.0).max(dim=1)
        exist[part] = best >= 0
    return anchors[exist], positives[exist], negatives[exist]
