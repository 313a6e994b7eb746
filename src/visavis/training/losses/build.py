"""From options to a loss."""

from __future__ import annotations

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
    from visavis.training.losses.classifiers import SFaceLoss, SoftmaxLoss
    from visavis.training.losses.combined import CrossBatchMemory, JointLoss
    from visavis.training.losses.contrastive import ContrastiveLoss
    from visavis.training.losses.triplet import TripletLoss

    margin, smoothing = options.used_margin, options.label_smoothing
    if options.kind == "softmax":
        scale = options.scale if options.normalize else None
        return SoftmaxLoss(people, dimension, scale=scale, label_smoothing=smoothing)
    if options.kind == "sface":
        return SFaceLoss(
            people, dimension, scale=options.scale, intra=options.intra, inter=options.inter
        )
    if options.kind in {"arcface", "cosface", "adaface"}:
        return _margin_loss(options.kind, margin, options, people, dimension)
    compared: ContrastiveLoss | TripletLoss | CrossBatchMemory
    if options.kind == "contrastive":
        compared = ContrastiveLoss(
            margin=margin, normalize=options.normalize, given=options.used_miner == "given"
        )
    else:
        compared = TripletLoss(
            margin=margin,
            miner=options.used_miner,
            normalize=options.normalize,
            seed=options.seed,
        )
    if options.memory:
        compared = CrossBatchMemory(compared, size=options.memory, dimension=dimension)
    if options.kind != "joint":
        return compared
    classifier: nn.Module
    if options.classifier == "softmax":
        classifier = SoftmaxLoss(people, dimension, scale=None, label_smoothing=smoothing)
    else:
        asked = options.classifier_margin
        margin = KINDS[options.classifier] if asked is None else asked
        classifier = _margin_loss(options.classifier, margin, options, people, dimension)
    return JointLoss(compared, classifier, weight=options.classifier_weight)


def _margin_loss(
    kind: str, margin: float, options: LossOptions, people: int, dimension: int
) -> nn.Module:
    from visavis.training.losses.classifiers import AdaFaceLoss, ArcFaceLoss, CosFaceLoss

    kinds: dict[str, type[ArcFaceLoss | CosFaceLoss | AdaFaceLoss]] = {
        "arcface": ArcFaceLoss,
        "cosface": CosFaceLoss,
        "adaface": AdaFaceLoss,
    }
    return kinds[kind](
        people,
        dimension,
        margin=margin,
        scale=options.scale,
        label_smoothing=options.label_smoothing,
    )
