"""Fit the default model to photos of your own, masked faces included."""

from __future__ import annotations

from typing import Final

from visavis.training.augment.options import AugmentOptions
from visavis.training.losses.options import LossOptions
from visavis.training.recipes.recipe import Recipe

FINETUNE_SFACE: Final = Recipe(
    name="finetune-sface",
    source=(
        "Zhong et al., SFace, IEEE Transactions on Image Processing 30, 2021 (arXiv:2205.12010), "
        "trained on with the loss of Wang et al., CosFace, CVPR 2018 (arXiv:1801.09414)"
    ),
    expected=(
        "masked LFW View 1 test pairs, trained on peopleDevTrain: FNMR at FMR 1e-3 at least "
        "halved, accuracy on unmasked pairs at most 0.2 points lower"
    ),
    backbone="sface",
    dimension=128,
    input_size=112,
    crop_scale=0.97,
    init="sface",
    loss=LossOptions(kind="cosface", margin=0.2, scale=32.0),
    sampler="shuffled",
    batch_size=64,
    augment=AugmentOptions(flip=0.5, rotation=3, zoom=0.03, shift=0.01, colour=0.15, mask=0.5),
    epochs=6,
    lr=1e-4,
    head_lr=5e-3,
    head_first=1,
    weight_decay=0.01,
    warmup=0.1,
    clip=5.0,
    ema=0.99,
    validation_share=0.2,
)
