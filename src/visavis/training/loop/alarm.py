"""Detects collapse of the embeddings, stops the run, and advises what to change."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from visavis.errors import CollapseError
from visavis.training.loop.validation import ValidationMetrics, effective_rank
from visavis.training.recipes.recipe import Recipe
from visavis.types import Record


@dataclass(frozen=True, slots=True)
class Health(Record):
    """Collapse indicators of a batch of embeddings.

    Attributes:
        mated: mean score of the batch's mated pairs; NaN without such pairs.
        non_mated: mean score of its non-mated pairs; NaN without such pairs.
        rank: effective rank of the embeddings, from 1 (all lie on one line) to the smaller of
            batch size and dimension.
    """

    mated: float
    non_mated: float
    rank: float


def examine(raw: Tensor, labels: Tensor) -> Health:
    """Compute the collapse indicators of a batch.

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


_ALIKE: Final = 0.95  # mean non-mated score from which on everybody looks the same
_GAP: Final = 0.02  # and by how little mated pairs are closer
_LINES: Final = 2.0  # effective rank below which embeddings lie on a line or two
_STILL: Final = 0.005  # a loss whose standard deviation is below this share of it stands still
_GROWTH: Final = 1.1  # spread that grows by this factor within a window is on its way out


@dataclass(frozen=True, slots=True)
class _Look:
    step: int
    loss: float
    active: float
    health: Health


class CollapseAlarm:
    """Stops a run whose embeddings have collapsed, judged after the warm-up.

    It stops a run in which, over a whole window of looks and without getting better within it,

    - pairs of different people score above 0.95 on average and mated ones hardly more, or
    - embeddings spread over fewer than two directions (effective rank), or
    - the loss stands still with every triplet active: all distances are equal;

    and at once when the loss is not finite. Untrained networks look collapsed, too, so nothing but
    the last is judged before the learning rate has risen and a window has gone by.

    Args:
        recipe: named in the remedy: what to change, and from which value.
        start: steps that are not judged: those of the warm-up.
        window: looks that must agree.
    """

    def __init__(self, recipe: Recipe, *, start: int, window: int) -> None:
        self._recipe, self._start, self._window = recipe, start, window
        self._looks: list[_Look] = []
        self._validations = 0

    def look(self, step: int, *, loss: float, active: float, health: Health) -> None:
        """Judge the state after ``step`` steps.

        Raises:
            CollapseError: the run has collapsed.
        """
        if not math.isfinite(loss) or math.isnan(health.rank):
            what = "the loss" if not math.isfinite(loss) else "an embedding"
            self._stop(step, f"{what} is not a finite number ({loss:g})", _BLOWN_UP)
        if step <= self._start:
            return
        self._looks.append(_Look(step, loss, active, health))
        del self._looks[: -self._window]
        if len(self._looks) == self._window:
            self._judge(step)

    def validated(self, step: int, metrics: ValidationMetrics) -> None:
        """Judge a validation; the second failure in a row stops the run.

        Raises:
            CollapseError: the run has collapsed.
        """
        alike = metrics.non_mated > _ALIKE and metrics.mated - metrics.non_mated < _GAP / 2
        if step <= self._start or not alike or metrics.auc > 0.6:
            self._validations = 0
            return
        self._validations += 1
        if self._validations > 1:
            self._stop(
                step,
                f"validation people look alike: mean non-mated score {metrics.non_mated:.3f}, "
                f"mated {metrics.mated:.3f}, AUC {metrics.auc:.3f}",
                _ALL_ALIKE,
            )

    def state_dict(self) -> dict[str, Any]:
        """State for a checkpoint."""
        looks = [
            [x.step, x.loss, x.active, x.health.mated, x.health.non_mated, x.health.rank]
            for x in self._looks
        ]
        return {"looks": looks, "validations": self._validations}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state."""
        self._looks = [_Look(int(x[0]), x[1], x[2], Health(*x[3:])) for x in state["looks"]]
        self._validations = int(state["validations"])

    def _judge(self, step: int) -> None:
        looks = self._looks
        since = f"since step {looks[0].step}"
        other = np.array([look.health.non_mated for look in looks])
        gap = np.array([look.health.mated - look.health.non_mated for look in looks])
        alike = (other > _ALIKE) & ~(gap >= _GAP)  # a gap of NaN: no mated pairs in the batch
        if alike.all() and not _grows(1 - other):
            self._stop(
                step,
                f"embeddings of different people score {other.mean():.3f} on average {since}, "
                f"mated ones {np.mean(other + gap):.3f}",
                _ALL_ALIKE,
            )
        rank = np.array([look.health.rank for look in looks])
        if (rank < _LINES).all() and not _grows(rank - 1):
            self._stop(
                step,
                f"embeddings spread over {rank.mean():.1f} directions (effective rank) {since}",
                _ALL_ALIKE,
            )
        loss = np.array([look.loss for look in looks])
        active = np.array([look.active for look in looks])
        if loss.std() <= _STILL * abs(loss.mean()) and (active > 0.99).all():
            self._stop(
                step,
                f"the loss stands still at {loss.mean():.4g} {since} with every triplet or pair "
                "active: all distances are equal",
                _ALL_ALIKE,
            )

    def _stop(self, step: int, what: str, kind: str) -> None:
        raise CollapseError(
            f"training collapsed at step {step}: {what}", remedy(self._recipe, kind)
        )


_ALL_ALIKE: Final = "alike"
_BLOWN_UP: Final = "not finite"


def remedy(recipe: Recipe, kind: str) -> str:
    """Advice after a collapse, most promising first, with the values in use."""
    advice = [f"lower lr ({recipe.lr:g}; try {recipe.lr / 10:g})"]
    if kind == _BLOWN_UP:
        if recipe.clip is None:
            advice.append("clip gradients (clip=1)")
        if recipe.precision != "32":
            advice.append("use precision=32")
    elif recipe.loss.used_miner == "hard":
        advice.append("mine semihard or all triplets (loss.miner=hard now)")
    if recipe.warmup < 0.05:
        advice.append(f"warm up longer (warmup={recipe.warmup:g}; try 0.1)")
    if kind == _ALL_ALIKE and recipe.loss.used_margin:
        advice.append(f"try a smaller margin (loss.margin={recipe.loss.used_margin:g})")
    if kind == _ALL_ALIKE and recipe.clip is None:
        advice.append("clip gradients (clip=1)")
    return ", ".join(advice[:-1]) + (" or " if len(advice) > 1 else "") + advice[-1]


def _grows(values: np.ndarray[Any, np.dtype[np.float64]]) -> bool:
    """Returns whether the last third of a window exceeds its first by more than a tenth."""
    third = max(1, len(values) // 3)
    return bool(values[-third:].mean() > _GROWTH * values[:third].mean())
