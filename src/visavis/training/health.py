"""How a batch of embeddings does: the numbers by which a run is watched."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from visavis.types import Record


@dataclass(frozen=True, slots=True)
class Health(Record):
    """What a batch of embeddings says about the run.

    Attributes:
        mated: mean score of the batch's mated pairs; NaN without such pairs.
        non_mated: mean score of its non-mated pairs; NaN without such pairs.
        rank: effective rank of the embeddings, from 1 (all lie on one line) to the smaller of
            batch size and dimension.
    """

    mated: float
    non_mated: float
    rank: float


def effective_rank(vectors: Tensor) -> float:
    """The number of directions that vectors spread over.

    The exponential of the entropy of the singular values, each as a share of their sum; O. Roy and
    M. Vetterli, "The effective rank", EUSIPCO 2007. Taken about the origin, not the mean: vectors
    that are all alike have rank 1.

    Args:
        vectors: ``(N, D)`` float.

    Returns:
        A number in [1, min(N, D)]; NaN where a value is not finite.

    >>> effective_rank(torch.eye(3)), effective_rank(torch.ones(4, 2))
    (3.0, 1.0)
    """
    wide = vectors.detach().to("cpu", torch.float64)
    if not bool(torch.isfinite(wide).all()):
        return float("nan")
    gram = wide.T @ wide if wide.shape[0] >= wide.shape[1] else wide @ wide.T
    values = torch.linalg.eigvalsh(gram).clamp(min=0)
    # Eigenvalues are squares: below this, they are rounding errors of the largest.
    values = values[values > values[-1] * 1e-12].sqrt()
    if not len(values):
        return 1.0
    shares = values / values.sum()
    return round(float(torch.exp(-(shares * shares.log()).sum())), 6)


def examine(raw: Tensor, labels: Tensor) -> Health:
    """Look at a batch.

    Args:
        raw: ``(B, D)`` embeddings, of any length.
        labels: ``(B,)`` person of each.
    """
    unit = functional.normalize(raw.detach().float(), dim=1)
    scores = unit @ unit.T
    same = labels[:, None] == labels[None, :]
    pairs = torch.ones_like(same).triu(1)
    mated, other = pairs & same, pairs & ~same
    count = torch.stack([mated.sum(), other.sum()]).double()
    total = torch.stack([(scores * mated).sum(), (scores * other).sum()]).double()
    means = (total / count).tolist()  # 0 / 0 is NaN: no such pairs
    return Health(mated=means[0], non_mated=means[1], rank=effective_rank(unit))
