"""How many triplets of a batch still have something to teach."""

from __future__ import annotations

import torch
from torch import Tensor


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
