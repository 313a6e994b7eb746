"""The optimizer: which weights decay, and how fast the network and the loss's head learn."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import torch
from pytorch_optimizer import Muon
from pytorch_optimizer.optimizer.utils import zero_power_via_newton_schulz_5
from torch import Tensor, nn

from visavis.errors import OptionError
from visavis.training.loop.hardware import computes_in_bf16
from visavis.training.recipes.recipe import Recipe

_START: Final = 1 / 25  # one-cycle begins at this share of the highest rate,
_END: Final = 1 / 25e4  # and ends at this one


def factor(step: int, *, total: int, warmup: int, kind: str) -> float:
    """Returns the factor of the peak learning rate at a step.

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


def group_factor(
    step: int, *, head: bool, total: int, warmup: int, kind: str, head_first: int
) -> float:
    """The factor of a group where the head learns alone for the first ``head_first`` steps.

    The head's is whole while it learns alone, then as the network's, without a new rise.

    >>> course = {"total": 5, "warmup": 1, "kind": "constant", "head_first": 2}
    >>> [group_factor(step, head=False, **course) for step in range(4)]
    [0.0, 0.0, 1.0, 1.0]
    """
    since = step - head_first
    if since < 0 or (head and head_first and since < warmup):
        return float(head)
    return factor(since, total=total - head_first, warmup=warmup, kind=kind)


def _one_cycle(step: int, total: int, warmup: int) -> float:
    top = max(warmup - 1, 0)
    if step < top:
        return _wave(_START, 1.0, step / top)
    return _wave(1.0, _END, (step - top) / max(total - 1 - top, 1))


def _wave(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


def parameter_groups(recipe: Recipe, network: nn.Module, loss: nn.Module) -> list[dict[str, Any]]:
    """The parameters, sorted by who learns at which rate and what decays.

    Weight decay is for the matrices and kernels of connections: not for biases, nor for the scales
    of normalization and PReLU (T. He et al., "Bag of tricks for image classification", 2019).

    Returns:
        Groups with ``name`` (``network``, ``network-plain``, ``head``, ``head-plain``), without
        the empty ones. For Muon, ``network-matrices`` are those that it is for, and ``network``
        is left with the kernels of one input channel, depthwise ones among them.
    """
    groups: list[dict[str, Any]] = []
    head_lr = recipe.lr if recipe.head_lr is None else recipe.head_lr
    for name, module, lr in (("network", network, recipe.lr), ("head", loss, head_lr)):
        learning = [p for p in module.parameters() if p.requires_grad]
        decaying = [p for p in learning if p.ndim > 1]
        plain = [p for p in learning if p.ndim <= 1]
        groups.append(
            {"name": name, "params": decaying, "lr": lr, "weight_decay": recipe.weight_decay}
        )
        groups.append({"name": f"{name}-plain", "params": plain, "lr": lr, "weight_decay": 0.0})
    if recipe.optimizer == "muon":
        network_group = groups[0]
        matrices = [p for p in network_group["params"] if p.shape[1] > 1]
        network_group["params"] = [p for p in network_group["params"] if p.shape[1] == 1]
        groups.insert(0, {**network_group, "name": "network-matrices", "params": matrices})
    return [group for group in groups if group["params"]]


def build_optimizer(
    recipe: Recipe, network: nn.Module, loss: nn.Module, *, fused: bool | None = None
) -> torch.optim.Optimizer:
    """AdamW, SGD with Nesterov's momentum, or Muon over ``parameter_groups``.

    Muon (K. Jordan et al., 2024) orthogonalizes the update of each matrix; a convolution's kernels
    are one with a row for each output channel. The updates are scaled to the size that AdamW's
    have (Liu et al., "Muon is scalable for LLM training", arXiv:2502.16982), and AdamW takes what
    is no matrix and the loss's classifier, so one learning rate serves all.

    Raises:
        OptionError: nothing to learn.
    """
    groups = parameter_groups(recipe, network, loss)
    if not groups:
        raise OptionError(f"{recipe.backbone}: no weights that learn", "unfreeze some")
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.lr, fused=fused)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            groups,
            lr=recipe.lr,
            momentum=recipe.momentum,
            nesterov=recipe.momentum > 0,
            fused=fused,
        )
    for group in groups:
        group["use_muon"] = group["name"] == "network-matrices"
    return _Muon(
        groups,
        momentum=recipe.momentum,
        use_adjusted_lr=True,
        adamw_betas=(0.9, 0.999),
        adamw_eps=1e-8,
    )


def build_scheduler(
    recipe: Recipe, optimizer: torch.optim.Optimizer, *, total: int, head_first: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """The recipe's schedule, to be advanced once a step.

    Args:
        recipe: its ``schedule`` and ``warmup`` are used.
        optimizer: as ``build_optimizer`` made it.
        total: number of steps of the run.
        head_first: steps at the start in which the head learns alone.
    """
    course = partial(
        group_factor,
        total=total,
        warmup=warmup_steps(recipe, total=total, head_first=head_first),
        kind=recipe.schedule,
        head_first=head_first,
    )
    # torch's chained schedulers give all groups one course; the head has another.
    rates: list[Callable[[int], float]] = [
        partial(course, head=group["name"].startswith("head")) for group in optimizer.param_groups
    ]
    return torch.optim.lr_scheduler.LambdaLR(optimizer, rates)


def warmup_steps(recipe: Recipe, *, total: int, head_first: int) -> int:
    """Steps in which the learning rate rises, counted from when the network starts to learn."""
    return round(recipe.warmup * (total - head_first))


class _Muon(Muon):
    """Orthogonalizes in float32 where bfloat16, the library's choice, is not the device's own."""

    @staticmethod
    def _orthogonalize(group: dict[str, Any], updates: list[Tensor]) -> list[Tensor]:
        if computes_in_bf16(updates[0].device):
            results: list[Tensor] = Muon._orthogonalize(group, updates)
            return results
        return [
            zero_power_via_newton_schulz_5(
                update.flatten(1),
                num_steps=group["ns_steps"],
                weights=group["ns_coeffs"],
                dtype=torch.float32,
            )
            for update in updates
        ]
