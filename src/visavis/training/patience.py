"""The best validation so far, and when to give up on a better one."""

from __future__ import annotations

import math
from typing import Any


class Patience:
    """Keeps the best AUC, and counts validations without a better one.

    Args:
        allowed: validations in a row without a gain after which to stop; ``None`` for never.

    Attributes:
        auc: the best so far; NaN before the first.
        step: where it was.
        waited: validations since.

    >>> patience = Patience(2)
    >>> [patience.better(auc, step) for step, auc in enumerate([0.8, 0.9, 0.9, 0.7])]
    [True, True, True, False]
    >>> patience.auc, patience.step, patience.over
    (0.9, 2, True)
    """

    def __init__(self, allowed: int | None) -> None:
        self.allowed = allowed
        self.auc, self.step, self.waited = math.nan, 0, 0

    def better(self, auc: float, step: int) -> bool:
        """Take in a validation; whether it is the best so far, or as good: it has learnt longer."""
        self.waited = self.waited + 1 if auc <= self.auc else 0
        if auc < self.auc:
            return False
        self.auc, self.step = auc, step
        return True

    @property
    def over(self) -> bool:
        """Whether to stop."""
        return self.allowed is not None and self.waited >= self.allowed

    def state_dict(self) -> dict[str, Any]:
        """To go on from."""
        return {"auc": self.auc, "step": self.step, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on."""
        self.auc, self.step, self.waited = state["auc"], int(state["step"]), int(state["waited"])
