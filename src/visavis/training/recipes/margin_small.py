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
        "LFW View 1 test pairs, trained on peopleDevTrain, one seed: AUC 0.963, accuracy 0.882; "
        "aimed at: 0.98 and 0.93 in 45 minutes on 2 CPU cores"
    ),
    backbone="small_resnet",
    dimension=128,
    input_size=56,
    crop_scale=1.0,
    dropout=0.2,
    loss=LossOptions(
        kind="joint",
        margin=0.2,
        miner="semihard",
        classifier="cosface",
        classifier_margin=0.15,
        classifier_weight=0.2,
        scale=24.0,
    ),
    sampler="people",
    batch_size=126,
    photos_per_person=3,
    most_photos=12,
    augment=AugmentOptions(
        flip=0.5, rotation=5, zoom=0.06, shift=0.03, colour=0.25, gray=0.05, blur=0.05, erase=0.4
    ),
    epochs=40,
    lr=2e-3,
    weight_decay=0.05,
    warmup=0.2,
    schedule="onecycle",
    clip=5.0,
    ema=0.999,
    precision="bf16",
    channels_last=True,
    validation_share=0.05,
    validate_every=4,
    flip_embedding=True,
)
