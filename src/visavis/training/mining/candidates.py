"""Who can be a positive or a negative of whom."""

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
