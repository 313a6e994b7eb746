"""The best that two CPU cores can do in three quarters of an hour."""

from __future__ import annotations

from typing import Final

from visavis.training.augment.options import AugmentOptions
from visavis.training.losses.options import LossOptions
from visavis.training.recipes.recipe import Recipe

MARGIN_SMALL: Final = Recipe(
    name="margin-small",
    source=(
        "a small residual network of ours with the loss of Wang et al., CosFace, CVPR 2018 "
        "(arXiv:1801.09414)"
    ),
    expected=(
        "LFW View 1 test pairs, trained on peopleDevTrain, three seeds: AUC 0.985 ± 0.002, "
        "accuracy 0.933 ± 0.010, in 29 to 37 minutes on 2 CPU cores"
    ),
    backbone="small_resnet",
    dimension=128,
    input_size=96,
    crop_scale=0.9,
    dropout=0.1,
    loss=LossOptions(
        kind="joint",
        margin=0.2,
        miner="semihard",
        classifier="cosface",
        classifier_margin=0.15,
        classifier_weight=0.05,
        scale=24.0,
    ),
    sampler="people",
    batch_size=120,
    photos_per_person=4,
    most_photos=20,
    augment=AugmentOptions(
        flip=0.5, rotation=5, zoom=0.05, shift=0.025, colour=0.25, blur=0.05, erase=0.3
    ),
    epochs=90,
    optimiser="muon",
    lr=3e-3,
    momentum=0.95,
    weight_decay=0.05,
    warmup=0.05,
    clip=5.0,
    ema=0.999,
    precision="bf16",
    channels_last=True,
    validation_share=0.05,
    validate_every=5,
    flip_embedding=True,
)
