"""Weights between those that a run began with and those that it came to."""

from __future__ import annotations

import torch
from torch import nn

from visavis.errors import OptionError


def blend(network: nn.Module, first: nn.Module, share: float) -> None:
    """Move a network's weights back towards its first ones, in place.

    What was learnt on little data is surer in its direction than in its length: part of the way
    often knows the new faces better than all of it, and forgets less of the others. M. Wortsman et
    al., "Robust fine-tuning of zero-shot models", CVPR 2022 (arXiv:2109.01903).

    Args:
        network: what was learnt.
        first: the same network with the weights that it began with.
        share: of the way from `first` to `network` that is gone, in (0, 1]; 1 changes nothing.

    Raises:
        OptionError: networks of other weights, or a share outside its range.

    >>> learnt, first = nn.Linear(1, 1), nn.Linear(1, 1)
    >>> _ = nn.init.constant_(learnt.weight, 3), nn.init.constant_(first.weight, 1)
    >>> blend(learnt, first, 0.75)
    >>> learnt.weight.item()
    2.5
    """
    if not 0 < share <= 1:
        raise OptionError(f"blend {share}", "give a number above 0 and up to 1")
    begun, came_to = first.state_dict(), network.state_dict()
    shapes = [{k: v.shape for k, v in one.items()} for one in (begun, came_to)]
    if shapes[0] != shapes[1]:
        raise OptionError("two networks of other weights", "blend a network with its own past")
    with torch.no_grad():
        for name, value in came_to.items():
            if value.is_floating_point():
                # lerp gives exactly `first` at 0 and the learnt value at 1.
                value.copy_(torch.lerp(begun[name].to(value), value, share))
