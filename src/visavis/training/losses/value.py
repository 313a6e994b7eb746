"""What a loss returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class LossValue:
    """A loss and how much of the batch is behind it.

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
