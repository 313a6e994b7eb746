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
        "trained on with the loss of Wang et al., CosFace, CVPR 2018 (arXiv:1801.09414), and held "
        "to itself as in Hinton, Vinyals, Dean, 2015 (arXiv:1503.02531), its weights between "
        "both in the end as in Wortsman et al., CVPR 2022 (arXiv:2109.01903)"
    ),
    expected=(
        "LFW View 1 test pairs in synthetic masks, faces detected again, trained on "
        "peopleDevTrain, mean of three seeds: half the untouched model's FNMR at FMR 1e-3 (one "
        "masked 0.48 of it, both 0.50), unmasked accuracy 0.1 points lower to 0.2 higher"
    ),
    backbone="sface",
    dimension=128,
    input_size=112,
    crop_scale=0.97,
    init="sface",
    frozen=6,
    freeze_norm=True,
    distil=25.0,
    head_from_init=True,
    blend=0.6,
    loss=LossOptions(kind="cosface", margin=0.35, scale=32.0),
    sampler="shuffled",
    batch_size=64,
    augment=AugmentOptions(flip=0.5, rotation=3, zoom=0.03, shift=0.01, colour=0.15, mask=0.7),
    epochs=8,
    lr=2e-4,
    head_lr=1e-5,
    weight_decay=0.01,
    warmup=0.05,
    clip=10.0,
    precision="bf16",
    channels_last=True,
    validation_share=0.1,
    flip_embedding=True,
    validate_every=100,
)
