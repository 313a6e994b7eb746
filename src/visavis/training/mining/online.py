"""Triplets of a batch, from a matrix of distances."""

from __future__ import annotations

import torch
from torch import Tensor

Triplets = tuple[Tensor, Tensor, Tensor]
"""Rows of the anchors in the batch, of the positives and of the negatives in the reference."""


def candidates(labels: Tensor, reference_labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mated and non-mated pairs of a batch and a reference.

    Args:
        labels: ``(B,)`` person of each row of the batch.
        reference_labels: ``(N,)`` of the reference, whose first B rows are the batch itself.

    Returns:
        Two ``(B, N)`` boolean masks; a row with itself is in neither.

    Example:
        >>> mated, nonmated = candidates(torch.tensor([0, 0, 1]), torch.tensor([0, 0, 1]))
        >>> mated.nonzero().tolist()
        [[0, 1], [1, 0]]
    """
    same = labels[:, None] == reference_labels[None, :]
    itself = torch.zeros_like(same)
    itself.fill_diagonal_(True)
    return same & ~itself, ~same


def active_share(distances: Tensor, mated: Tensor, nonmated: Tensor, *, margin: float) -> Tensor:
    """Share of all triplets with ``d(a, n) < d(a, p) + margin``.

    Counts by sorting each anchor's negatives, so that no triplet is ever formed: memory B x N.

    Args:
        distances: ``(B, N)``.
        mated: ``(B, N)`` mask of anchors and positives.
        nonmated: ``(B, N)`` mask of anchors and negatives.
        margin: as the loss has it.

    Returns:
        Scalar in [0, 1]; NaN where there is no triplet.

    Example:
        >>> d = torch.tensor([[0.0, 1.0, 1.1, 3.0]])
        >>> mated, nonmated = torch.tensor([[0, 1, 0, 0]]) > 0, torch.tensor([[0, 0, 1, 1]]) > 0
        >>> active_share(d, mated, nonmated, margin=0.2).item()
        0.5
    """
    negatives = distances.masked_fill(~nonmated, torch.inf).sort(dim=1).values
    violating = torch.searchsorted(negatives, distances + margin)
    triplets = (mated.sum(dim=1) * nonmated.sum(dim=1)).sum()
    return (violating * mated).sum().to(distances.dtype) / triplets


_MOST_SHORTFALLS = 1 << 24


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
    pairs = max(1, _MOST_SHORTFALLS // max(1, distances.shape[1]))
    for start in range(0, len(anchors), pairs):
        anchor, positive = anchors[start : start + pairs], positives[start : start + pairs]
        shortfall = distances[anchor, positive][:, None] - distances[anchor] + margin
        pair, negative = ((shortfall > 0) & nonmated[anchor]).nonzero(as_tuple=True)
        found.append((anchor[pair], positive[pair], negative))
    if not found:
        return anchors, positives, anchors
    anchor, positive, negative = (torch.cat(part) for part in zip(*found, strict=True))
    return anchor, positive, negative


def batch_hard(distances: Tensor, mated: Tensor, nonmated: Tensor) -> Triplets:
    """Returns the hardest positive and negative of each anchor that has both.

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


_MOST_LOTS = 1 << 23


def semi_hard(
    distances: Tensor,
    mated: Tensor,
    nonmated: Tensor,
    *,
    margin: float,
    generator: torch.Generator,
) -> Triplets:
    """Returns a semi-hard negative for each mated pair: farther, but within the margin.

    One is drawn evenly from those with ``d(a, p) < d(a, n) < d(a, p) + margin``; a pair without
    any gives no triplet. Schroff, Kalenichenko, Philbin: FaceNet, CVPR 2015, section 3.2.
    (pytorch-metric-learning's ``TripletMarginMiner`` takes all of them instead of one per pair, so
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
    pairs = max(1, _MOST_LOTS // max(1, distances.shape[1]))
    for start in range(0, len(anchors), pairs):
        part = slice(start, start + pairs)
        far = distances[anchors[part]]
        near = distances[anchors[part], positives[part]][:, None]
        eligible = nonmated[anchors[part]] & (far > near) & (far < near + margin)
        lots = torch.rand(far.shape, generator=generator, device=far.device)
        best, negatives[part] = lots.masked_fill(~eligible, -1.0).max(dim=1)
        exist[part] = best >= 0
    return anchors[exist], positives[exist], negatives[exist]
