"""The usual large network with an angular margin; for a GPU and a large set."""

from __future__ import annotations

from typing import Final

from visavis.training.augment.options import AugmentOptions
from visavis.training.losses.options import LossOptions
from visavis.training.recipes.recipe import Recipe

MARGIN_IRESNET50: Final = Recipe(
    name="margin-iresnet50",
    source=(
        "Deng, Guo, Xue, Zafeiriou, ArcFace, CVPR 2019 (arXiv:1801.07698); network of Duta et al., "
        "Improved Residual Networks, arXiv:2004.04989, as insightface has it"
    ),
    expected="no figure of ours yet: it wants a GPU and a set of millions of photos",
    backbone="iresnet50",
    dimension=512,
    input_size=112,
    crop_scale=1.0,
    loss=LossOptions(kind="arcface", margin=0.5, scale=64.0),
    sampler="shuffled",
    batch_size=512,
    augment=AugmentOptions(
        flip=0.5, rotation=2, zoom=0.02, shift=0.01, colour=0.1, jpeg=0.1, low_resolution=0.1
    ),
    epochs=20,
    optimiser="sgd",
    lr=0.1,
    weight_decay=5e-4,
    momentum=0.9,
    warmup=0.05,
    clip=5.0,
    ema=0.9995,
    precision="bf16",
    channels_last=True,
    compile=True,
    validation_share=0.02,
    flip_embedding=False,
    workers=8,
)
