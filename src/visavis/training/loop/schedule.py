"""How the learning rate goes, as a pure function of the step."""

from __future__ import annotations

import math
from typing import Final

from visavis.errors import OptionError

_START: Final = 1 / 25  # one-cycle begins at this share of the highest rate,
_END: Final = 1 / 25e4  # and ends at this one


def factor(step: int, *, total: int, warmup: int, kind: str) -> float:
    """What the highest learning rate is multiplied with at a step.

    ``cosine`` and ``constant`` rise linearly over ``warmup`` steps; ``cosine`` then falls to zero
    as half a cosine wave (I. Loshchilov and F. Hutter, "SGDR", ICLR 2017). ``onecycle`` rises as
    half a wave from 1/25 and falls as another to 1/250,000 (L. N. Smith and N. Topin,
    "Super-convergence", 2018; the rates that PyTorch's ``OneCycleLR`` has).

    Args:
        step: 0 for the first one.
        total: number of steps.
        warmup: steps in which it rises, below ``total``.
        kind: ``cosine``, ``constant`` or ``onecycle``.

    Returns:
        A number in [0, 1].

    Raises:
        OptionError: an unknown ``kind``.

    >>> [factor(step, total=8, warmup=2, kind="cosine") for step in (0, 1, 2, 5)]
    [0.5, 1.0, 1.0, 0.5]
    """
    if kind == "onecycle":
        return _one_cycle(step, total, warmup)
    if kind not in {"cosine", "constant"}:
        raise OptionError(f"schedule {kind!r}", "use cosine, constant or onecycle")
    if step < warmup:
        return (step + 1) / warmup
    if kind == "constant":
        return 1.0
    return _wave(1.0, 0.0, (step - warmup) / max(total - warmup, 1))


def network_factor(step: int, *, total: int, warmup: int, kind: str, head_first: int) -> float:
    """The network's factor where the head learns alone for the first ``head_first`` steps.

    >>> [network_factor(s, total=5, warmup=1, kind="constant", head_first=2) for s in range(4)]
    [0.0, 0.0, 1.0, 1.0]
    """
    if step < head_first:
        return 0.0
    return factor(step - head_first, total=total - head_first, warmup=warmup, kind=kind)


def head_factor(step: int, *, total: int, warmup: int, kind: str, head_first: int) -> float:
    """The head's factor: whole while it learns alone, then as the network's, without a new rise."""
    if step < head_first:
        return 1.0
    shared = factor(step - head_first, total=total - head_first, warmup=warmup, kind=kind)
    rising = step - head_first < warmup
    return 1.0 if head_first and rising else shared


def _one_cycle(step: int, total: int, warmup: int) -> float:
    top = max(warmup - 1, 0)
    if step < top:
        return _wave(_START, 1.0, step / top)
    return _wave(1.0, _END, (step - top) / max(total - 1 - top, 1))


def _wave(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
