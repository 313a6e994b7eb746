"""Triplets mined while training: semi-hard negatives on squared distances."""

from __future__ import annotations

from typing import Final

from visavis.training.augment.options import AugmentOptions
from visavis.training.losses.options import LossOptions
from visavis.training.recipes.recipe import Recipe

SIAMESE_TRIPLET: Final = Recipe(
    name="siamese-triplet",
    source=(
        "A. Bielski, siamese-triplet, grown to faces; loss and mining of Schroff, Kalenichenko, "
        "Philbin, FaceNet, CVPR 2015 (arXiv:1503.03832)"
    ),
    expected=(
        "LFW View 1 test pairs, trained on peopleDevTrain, three seeds: AUC 0.965 ± 0.004, "
        "accuracy 0.901 ± 0.008"
    ),
    backbone="prelu_net",
    dimension=128,
    input_size=100,
    crop_scale=0.9,
    width=0.5,
    loss=LossOptions(kind="triplet", margin=0.2, miner="semihard"),
    sampler="people",
    batch_size=120,
    photos_per_person=4,
    most_photos=20,
    augment=AugmentOptions(flip=0.5, rotation=4, zoom=0.04, shift=0.02, colour=0.2, erase=0.2),
    epochs=24,
    lr=1e-3,
    weight_decay=0.05,
    warmup=0.05,
    clip=5.0,
    ema=0.998,
    precision="bf16",
    channels_last=True,
    validation_share=0.05,
    validate_every=4,
    flip_embedding=True,
)
