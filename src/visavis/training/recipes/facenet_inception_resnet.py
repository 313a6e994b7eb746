"""FaceNet with the network of the facenet-pytorch weights; for a GPU."""

from __future__ import annotations

from typing import Final

from visavis.training.augment.options import AugmentOptions
from visavis.training.losses.options import LossOptions
from visavis.training.recipes.recipe import Recipe

FACENET_INCEPTION_RESNET: Final = Recipe(
    name="facenet-inception-resnet",
    source=(
        "Schroff, Kalenichenko, Philbin, FaceNet, CVPR 2015 (arXiv:1503.03832); network of Szegedy "
        "et al., Inception-v4, arXiv:1602.07261, as D. Sandberg's facenet has it"
    ),
    expected="no figure of ours: it wants a GPU and CASIA-WebFace or VGGFace2",
    backbone="inception_resnet_v1",
    dimension=512,
    input_size=160,
    crop_scale=0.9,
    dropout=0.6,
    loss=LossOptions(kind="joint", margin=0.2, miner="semihard", classifier_weight=1.0),
    sampler="people",
    batch_size=180,
    photos_per_person=4,
    augment=AugmentOptions(flip=0.5, rotation=4, zoom=0.04, shift=0.02, colour=0.2, erase=0.2),
    epochs=40,
    lr=1e-3,
    weight_decay=0.05,
    warmup=0.05,
    clip=5.0,
    ema=0.9995,
    precision="bf16",
    channels_last=True,
    validation_share=0.05,
    flip_embedding=True,
    workers=4,
)
