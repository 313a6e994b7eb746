"""Each person's centre on the unit sphere."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Centres(nn.Module):
    """Learned directions, one a person.

    Args:
        people: number of people, P.
        dimension: length of an embedding, D.
    """

    def __init__(self, people: int, dimension: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(people, dimension))
        nn.init.normal_(self.weight, std=0.01)

    def forward(self, rows: Tensor) -> Tensor:
        """Cosines (B, P) of embeddings (B, D) and centres, within the open interval (-1, 1).

        At its ends the angle's slope is infinite.
        """
        centres = nn.functional.normalize(self.weight.to(rows.dtype))
        cosines = nn.functional.linear(nn.functional.normalize(rows), centres)
        edge = 1 - 4 * torch.finfo(rows.dtype).eps
        return cosines.clamp(-edge, edge)
