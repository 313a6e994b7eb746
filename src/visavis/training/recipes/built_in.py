"""The recipes that come with visavis."""

from __future__ import annotations

from types import MappingProxyType
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
    loss=LossOptions(kind="contrastive", margin=1.0, miner="given", normalize=True),
    sampler="pairs",
    batch_size=128,
    augment=AugmentOptions(flip=0.5, rotation=4, zoom=0.04, shift=0.02, color=0.2, erase=0.2),
    epochs=24,
    lr=1e-3,
    clip=5.0,
    ema=0.998,
    precision="bf16",
    channels_last=True,
    validation_share=0.05,
    validate_every=4,
    flip_embedding=True,
)
"""The Siamese network with contrastive loss: where learning from pairs began."""


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
    most_photos=20,
    augment=AugmentOptions(flip=0.5, rotation=4, zoom=0.04, shift=0.02, color=0.2, erase=0.2),
    epochs=24,
    lr=1e-3,
    clip=5.0,
    ema=0.998,
    precision="bf16",
    channels_last=True,
    validation_share=0.05,
    validate_every=4,
    flip_embedding=True,
)
"""Triplets mined while training: semi-hard negatives on squared distances."""


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
    most_photos=20,
    augment=AugmentOptions(
        flip=0.5, rotation=4, zoom=0.04, shift=0.02, color=0.2, gray=0.5, blur=0.05, erase=0.3
    ),
    epochs=40,
    optimizer="muon",
    lr=5e-3,
    momentum=0.95,
    clip=5.0,
    ema=0.995,
    channels_last=True,
    validation_share=0.05,
    validate_every=4,
    flip_embedding=True,
)
"""FaceNet as it is taught: MobileNetV1, triplet loss with a classifier beside it."""


FACENET_INCEPTION_RESNET: Final = Recipe(
    name="facenet-inception-resnet",
    source=(
        "Schroff, Kalenichenko, Philbin, FaceNet, CVPR 2015 (arXiv:1503.03832); network of Szegedy "
        "et al., Inception-v4, arXiv:1602.07261, as D. Sandberg's facenet has it"
    ),
    expected="not measured: it needs a GPU and CASIA-WebFace or VGGFace2",
    backbone="inception_resnet_v1",
    dimension=512,
    input_size=160,
    crop_scale=0.9,
    dropout=0.6,
    loss=LossOptions(kind="joint", margin=0.2, miner="semihard", classifier_weight=1.0),
    sampler="people",
    batch_size=180,
    augment=AugmentOptions(flip=0.5, rotation=4, zoom=0.04, shift=0.02, color=0.2, erase=0.2),
    epochs=40,
    lr=1e-3,
    clip=5.0,
    ema=0.9995,
    precision="bf16",
    channels_last=True,
    validation_share=0.05,
    flip_embedding=True,
    workers=4,
)
"""FaceNet with the network of the facenet-pytorch weights; for a GPU."""


MARGIN_SMALL: Final = Recipe(
    name="margin-small",
    source=(
        "a small residual network, designed here, with the loss of Wang et al., CosFace, CVPR 2018 "
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
    most_photos=20,
    augment=AugmentOptions(
        flip=0.5, rotation=5, zoom=0.05, shift=0.025, color=0.25, blur=0.05, erase=0.3
    ),
    epochs=90,
    optimizer="muon",
    lr=3e-3,
    momentum=0.95,
    clip=5.0,
    ema=0.999,
    precision="bf16",
    channels_last=True,
    validation_share=0.05,
    validate_every=5,
    flip_embedding=True,
)
"""The best that two CPU cores can do in three quarters of an hour."""


MARGIN_IRESNET50: Final = Recipe(
    name="margin-iresnet50",
    source=(
        "Deng, Guo, Xue, Zafeiriou, ArcFace, CVPR 2019 (arXiv:1801.07698); network of Duta et al., "
        "Improved Residual Networks, arXiv:2004.04989, as insightface has it"
    ),
    expected="not measured: it needs a GPU and a set of millions of photos",
    backbone="iresnet50",
    dimension=512,
    input_size=112,
    crop_scale=1.0,
    loss=LossOptions(kind="arcface", margin=0.5, scale=64.0),
    sampler="shuffled",
    batch_size=512,
    augment=AugmentOptions(
        flip=0.5, rotation=2, zoom=0.02, shift=0.01, color=0.1, jpeg=0.1, low_resolution=0.1
    ),
    epochs=20,
    optimizer="sgd",
    lr=0.1,
    weight_decay=5e-4,
    clip=5.0,
    ema=0.9995,
    precision="bf16",
    channels_last=True,
    compile=True,
    validation_share=0.02,
    workers=8,
)
"""The usual large network with an angular margin; for a GPU and a large set."""


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
        "peopleDevTrain, mean of three seeds: half the original model's FNMR at FMR 1e-3 (one "
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
    augment=AugmentOptions(flip=0.5, rotation=3, zoom=0.03, shift=0.01, color=0.15, mask=0.7),
    epochs=8,
    lr=2e-4,
    head_lr=1e-5,
    weight_decay=0.01,
    clip=10.0,
    precision="bf16",
    channels_last=True,
    validation_share=0.1,
    flip_embedding=True,
    validate_every=100,
)
"""Fit the default model to photos of your own, masked faces included."""

DISTILL_EDGE: Final = Recipe(
    name="distill-edge",
    source=(
        "a MobileNet (Howard et al., arXiv:1704.04861) that inherits weights of SFace (Zhong et "
        "al., IEEE TIP 30, 2021) as in He, Zhang, Sun, Channel Pruning, ICCV 2017 "
        "(arXiv:1707.06168), and imitates its templates as in Beyer et al., CVPR 2022 "
        "(arXiv:2106.05237)"
    ),
    expected=(
        "LFW View 1 test pairs, trained on peopleDevTrain, one seed: accuracy 0.980 alone, 0.9815 "
        "against SFace's templates, in 62 minutes on one CPU core"
    ),
    backbone="edge_mobilenet",
    dimension=128,
    input_size=112,
    crop_scale=0.97,
    width=0.5,
    init="sface",
    distil=1.0,
    repeat=4,
    loss=LossOptions(kind="none"),
    sampler="shuffled",
    batch_size=32,
    augment=AugmentOptions(
        flip=0.5,
        rotation=4,
        zoom=0.04,
        shift=0.02,
        color=0.2,
        gray=0.05,
        blur=0.1,
        jpeg=0.1,
        low_resolution=0.15,
        erase=0.1,
        mask=0.15,
        mix=0.5,
    ),
    epochs=12,
    lr=1e-3,
    clip=5.0,
    ema=0.998,
    channels_last=True,
    validation_share=0.05,
    validate_every=3,
)
"""A quarter of SFace's work, without its PReLU, with templates of the same space."""

RECIPES: Final = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            SIAMESE_CONTRASTIVE,
            SIAMESE_TRIPLET,
            FACENET_MOBILENET,
            FACENET_INCEPTION_RESNET,
            MARGIN_SMALL,
            MARGIN_IRESNET50,
            FINETUNE_SFACE,
            DISTILL_EDGE,
        )
    }
)
"""All recipes by name, the simplest first."""
