"""Common parts of losses: result, full precision, class centers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class LossValue:
    """A loss with its statistics.

    Attributes:
        loss: scalar tensor with gradient.
        active: scalar tensor in [0, 1], detached: share of the batch's triplets (all that could
            be formed, whatever the miner took) that violate the margin, or of its non-mated pairs
            that are nearer than the margin; NaN where it has no meaning (classifiers, or a batch
            without such triplets or pairs).
        parts: detached scalar tensors to log, by name; each loss says which.
    """

    loss: Tensor
    active: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)


@contextmanager
def full_precision(raw: Tensor) -> Iterator[Tensor]:
    """Embeddings as float32 (float64 stays), with autocast off inside the block."""
    with torch.autocast(raw.device.type, enabled=False):
        yield raw if raw.dtype == torch.float64 else raw.float()


class NoLoss(nn.Module):
    """Zero for any embeddings: for recipes whose only loss is the teacher's."""

    def forward(self, raw: Tensor, labels: Tensor) -> LossValue:
        """Zero, with a gradient of zero; ``active`` has no meaning."""
        return LossValue(0.0 * raw.sum(), raw.new_tensor(float("nan")))


class Centers(nn.Module):
    """Learned class centers, one for each person.

    Args:
        people: number of people, P.
        dimension: length of an embedding, D.
    """

    def __init__(self, people: int, dimension: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(people, dimension))
        nn.init.normal_(self.weight, std=0.01)

    def forward(self, rows: Tensor) -> Tensor:
        """Cosines (B, P) of embeddings (B, D) and centers, within the open interval (-1, 1).

        At its ends the angle's slope is infinite.
        """
        centers = nn.functional.normalize(self.weight.to(rows.dtype))
        cosines = nn.functional.linear(nn.functional.normalize(rows), centers)
        edge = 1 - 4 * torch.finfo(rows.dtype).eps
        return cosines.clamp(-edge, edge)
