"""The Siamese network with contrastive loss: where learning from pairs began."""

from __future__ import annotations

from typing import Final

from visavis.training.augment.options import AugmentOptions
from visavis.training.losses.options import LossOptions
from visavis.training.recipes.recipe import Recipe

SIAMESE_CONTRASTIVE: Final = Recipe(
    name="siamese-contrastive",
    source=(
        "S. Thomine, Cours de deep learning, 9: Face verification; loss of Hadsell, Chopra, LeCun, "
        "Dimensionality Reduction by Learning an Invariant Mapping, CVPR 2006"
    ),
    expected=(
        "LFW View 1 test pairs, trained on peopleDevTrain, three seeds: AUC 0.877 ± 0.010, "
        "accuracy 0.800 ± 0.016 "
        "(the text: AUC 0.616)"
    ),
    backbone="siamese_cnn",
    dimension=32,
    input_size=128,
    crop_scale=0.9,
    loss=LossOptions(kind="contrastive", margin=1.0, miner="given", normalise=True),
    sampler="pairs",
    batch_size=128,
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
