"""What of a network stays as it is while the rest is trained on."""

from __future__ import annotations

from typing import Final

from torch import nn

from visavis.errors import OptionError

_NORMS: Final = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def freeze(network: nn.Module, convolutions: int) -> None:
    """Take the first weights of a network out of training.

    It saves more than their updates: nothing is carried back to them, and what lies before the
    first weight that learns need not be kept for the way back.

    Args:
        network: its modules stand in the order in which it uses them.
        convolutions: so many of its first convolutions stay as they are, with everything up to
            the next one.

    Raises:
        OptionError: the network has no more convolutions than that.
    """
    for leaf in _first(network, convolutions):
        leaf.requires_grad_(False)


def train_mode(network: nn.Module, *, convolutions: int, norms: bool) -> None:
    """``network.train()``, except that some batch normalization stays in evaluation mode.

    In evaluation mode it normalizes with the running statistics that it has, and keeps them.

    Args:
        network: as for ``freeze``.
        convolutions: what ``freeze`` was given: normalization among what is frozen stays.
        norms: all of it stays. Scales and shifts learn nevertheless.
    """
    network.train()
    for module in network.modules() if norms else _first(network, convolutions):
        if isinstance(module, _NORMS):
            module.eval()


def _first(network: nn.Module, convolutions: int) -> list[nn.Module]:
    """The leaves before the convolution after the first so many."""
    leaves = [module for module in network.modules() if next(module.children(), None) is None]
    starts = [k for k, leaf in enumerate(leaves) if isinstance(leaf, nn.Conv2d)]
    if convolutions and convolutions >= len(starts):
        raise OptionError(
            f"frozen {convolutions} of a network with {len(starts)} convolutions",
            f"give less than {len(starts)}",
        )
    return leaves[: starts[convolutions]] if convolutions else []
