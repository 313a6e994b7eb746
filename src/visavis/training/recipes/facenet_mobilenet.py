"""FaceNet as it is taught: MobileNetV1, triplet loss with a classifier beside it."""

from __future__ import annotations

from typing import Final

from visavis.training.augment.options import AugmentOptions
from visavis.training.losses.options import LossOptions
from visavis.training.recipes.recipe import Recipe

FACENET_MOBILENET: Final = Recipe(
    name="facenet-mobilenet",
    source=(
        "Schroff, Kalenichenko, Philbin, FaceNet, CVPR 2015 (arXiv:1503.03832); network of Howard "
        "et al., MobileNets, arXiv:1704.04861; triplet and cross-entropy trained together"
    ),
    expected=(
        "LFW View 1 test pairs, trained on peopleDevTrain, three seeds: AUC 0.972, accuracy 0.899; "
        "aimed at: 0.95"
    ),
    backbone="mobilenet_v1",
    dimension=128,
    input_size=160,
    crop_scale=0.9,
    dropout=0.1,
    width=0.25,
    head="flatten",
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
        flip=0.5, rotation=4, zoom=0.04, shift=0.02, colour=0.2, gray=0.5, blur=0.05, erase=0.3
    ),
    epochs=40,
    optimiser="muon",
    lr=5e-3,
    momentum=0.95,
    weight_decay=0.05,
    warmup=0.05,
    clip=5.0,
    ema=0.995,
    channels_last=True,
    validation_share=0.05,
    validate_every=4,
    flip_embedding=True,
)
