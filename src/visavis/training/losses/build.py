"""Builds a loss from its options."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from visavis.errors import OptionError
from visavis.training.losses.options import KINDS, LossOptions

if TYPE_CHECKING:
    from torch import nn


def build_loss(options: LossOptions, *, people: int, dimension: int) -> nn.Module:
    """The loss that the options name.

    Args:
        options: kind and numbers. The classifier's first weights are a function of its seed.
        people: number of people, P; labels are 0 to P - 1. Losses without a classifier take any.
        dimension: length of an embedding, D.

    Returns:
        A module with ``forward(raw: (B, D), labels: (B,) int64) -> LossValue``.

    Raises:
        OptionError: fewer than two people, or no dimension.
    """
    from visavis.training.seeds import derive, seeded

    if people < 2 or dimension < 1:
        raise OptionError(
            f"{people} people and embeddings of length {dimension}",
            "give two people or more and a length of 1 or more",
        )
    with seeded(derive(options.seed, "loss")):
        return _built(options, people, dimension)


def _built(options: LossOptions, people: int, dimension: int) -> nn.Module:
    from visavis.training.losses.base import NoLoss
    from visavis.training.losses.classifiers import SFaceLoss
    from visavis.training.losses.combined import CrossBatchMemory, JointLoss
    from visavis.training.losses.contrastive import ContrastiveLoss
    from visavis.training.losses.triplet import TripletLoss

    margin, normalize, sizes = options.used_margin, options.normalize, (people, dimension)
    if options.kind == "none":
        return NoLoss()
    if options.kind == "sface":
        return SFaceLoss(*sizes, scale=options.scale, intra=options.intra, inter=options.inter)
    compared: ContrastiveLoss | TripletLoss | CrossBatchMemory
    if options.kind == "contrastive":
        compared = ContrastiveLoss(
            margin=margin, normalize=normalize, given=options.used_miner == "given"
        )
    elif options.kind in {"triplet", "joint"}:
        compared = TripletLoss(
            margin=margin, miner=options.used_miner, normalize=normalize, seed=options.seed
        )
    else:
        scale = None if options.kind == "softmax" and not normalize else options.scale
        return _classifier(options.kind, options, sizes, margin=margin, scale=scale)
    if options.memory:
        compared = CrossBatchMemory(compared, size=options.memory, dimension=dimension)
    if options.kind != "joint":
        return compared
    kind, asked = options.classifier, options.classifier_margin
    classifier = _classifier(
        kind,
        options,
        sizes,
        margin=KINDS[kind] if asked is None else asked,
        scale=None if kind == "softmax" else options.scale,
    )
    return JointLoss(compared, classifier, weight=options.classifier_weight)


def _classifier(
    kind: str,
    options: LossOptions,
    sizes: tuple[int, int],
    *,
    margin: float,
    scale: float | None,
) -> nn.Module:
    from visavis.training.losses import classifiers

    kinds: dict[str, Callable[..., nn.Module]] = {
        "softmax": classifiers.SoftmaxLoss,
        "arcface": classifiers.ArcFaceLoss,
        "cosface": classifiers.CosFaceLoss,
        "adaface": classifiers.AdaFaceLoss,
    }
    given = {} if kind == "softmax" else {"margin": margin}
    smoothing = options.label_smoothing
    return kinds[kind](*sizes, scale=scale, label_smoothing=smoothing, **given)
