from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from visavis.errors import OptionError
from visavis.training.losses import KINDS, LossOptions, build_loss
from visavis.training.losses.base import LossValue
from visavis.training.losses.classifiers import SoftmaxLoss
from visavis.training.losses.combined import CrossBatchMemory

LABELS = torch.arange(24) // 4
OPTIONS = [
    *(LossOptions(kind=kind) for kind in KINDS),
    *(LossOptions(kind=kind, memory=40, miner="all") for kind in ("contrastive", "triplet")),
    LossOptions(kind="joint", memory=40, miner="hard"),
    LossOptions(kind="joint", classifier="cosface", classifier_margin=0.15, scale=24.0),
    LossOptions(kind="softmax", normalize=False, label_smoothing=0.1),
]


def name(options: LossOptions) -> str:
    parts = (options.kind, options.miner, options.memory, options.normalize, options.classifier)
    return "-".join(map(str, parts))


def batch(*, seed: int = 0) -> torch.Tensor:
    return torch.randn(24, 8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("options", OPTIONS, ids=name)
def test_every_loss_learns(options: LossOptions) -> None:
    """A few steps on free embeddings bring mates nearer than strangers."""
    loss = build_loss(options, people=6, dimension=8)
    raw = batch().requires_grad_()
    learned = [raw, *loss.parameters()]
    for _ in range(60):
        value = loss(raw, LABELS)
        slopes = torch.autograd.grad(value.loss, learned, allow_unused=True)
        with torch.no_grad():
            for parameter, slope in zip(learned, slopes, strict=True):
                if slope is not None:
                    parameter.sub_(0.05 * slope.sign())
    scores = nn.functional.normalize(raw) @ nn.functional.normalize(raw).T
    mated = LABELS[:, None] == LABELS
    if options.used_miner == "given" and options.kind == "contrastive":
        pairs = torch.arange(0, 24, 2)
        assert scores[pairs, pairs + 1].min() > 0.9
    else:
        assert scores[mated].mean() > scores[~mated].mean() + 0.3
    assert isinstance(value, LossValue)


@pytest.mark.parametrize("options", OPTIONS, ids=name)
def test_values_are_scalars_and_only_the_loss_has_a_gradient(options: LossOptions) -> None:
    value = build_loss(options, people=6, dimension=8)(batch().requires_grad_(), LABELS)
    assert value.loss.shape == value.active.shape == ()
    assert value.loss.requires_grad
    assert not value.active.requires_grad
    for part in value.parts.values():
        assert part.shape == ()
        assert not part.requires_grad


@pytest.mark.parametrize("options", OPTIONS, ids=name)
def test_computes_in_float32_under_autocast(options: LossOptions) -> None:
    raw = batch().bfloat16()
    plain = build_loss(options, people=6, dimension=8)
    mixed = build_loss(options, people=6, dimension=8)
    for _ in range(2):
        expected = plain(raw.float(), LABELS)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = mixed(raw.clone().requires_grad_(), LABELS)
        assert value.loss.dtype == torch.float32
        assert value.loss.item() == expected.loss.item()
    value.loss.backward()


@pytest.mark.parametrize("options", OPTIONS, ids=name)
def test_exactly_resumed_from_the_state_dict(options: LossOptions) -> None:
    whole = build_loss(options, people=6, dimension=8)
    resumed = build_loss(options, people=6, dimension=8)
    for step in range(3):
        whole(batch(seed=step), LABELS)
    torch.manual_seed(99)
    resumed.load_state_dict(whole.state_dict())
    for step in range(3, 6):
        expected = whole(batch(seed=step), LABELS).loss
        assert resumed(batch(seed=step), LABELS).loss.item() == expected.item()


def test_first_weights_are_a_function_of_the_seed() -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed + 50)
        before = torch.get_rng_state()
        loss = build_loss(LossOptions(kind="cosface", seed=seed), people=6, dimension=8)
        assert torch.equal(before, torch.get_rng_state())
        return next(loss.parameters()).detach()

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_joint_is_the_sum_of_its_losses() -> None:
    options = LossOptions(kind="joint", classifier_weight=0.3, miner="hard", margin=0.4)
    loss = build_loss(options, people=6, dimension=8)
    triplet = build_loss(
        LossOptions(kind="triplet", miner="hard", margin=0.4), people=6, dimension=8
    )
    softmax = SoftmaxLoss(6, 8)
    softmax.load_state_dict(loss.classifier.state_dict())
    raw = batch()
    compared, classified = triplet(raw, LABELS), softmax(raw, LABELS)
    value = loss(raw, LABELS)
    assert value.loss.item() == pytest.approx((compared.loss + 0.3 * classified.loss).item())
    assert value.active.item() == compared.active.item()
    assert value.parts["triplet"].item() == compared.loss.item()
    assert value.parts["classifier"].item() == classified.loss.item()
    assert {"triplets", "accuracy"} <= set(value.parts)


def test_joint_takes_a_margin_loss_as_its_classifier() -> None:
    options = LossOptions(
        kind="joint",
        miner="hard",
        margin=0.4,
        scale=24.0,
        classifier="cosface",
        classifier_margin=0.15,
        classifier_weight=0.3,
    )
    loss = build_loss(options, people=6, dimension=8)
    triplet = build_loss(
        LossOptions(kind="triplet", miner="hard", margin=0.4), people=6, dimension=8
    )
    raw = batch()
    unit = nn.functional.normalize(raw)
    weights = next(loss.classifier.parameters()).detach()
    centers = nn.functional.normalize(weights if weights.shape == (6, 8) else weights.T)
    cosines = unit @ centers.T - 0.15 * nn.functional.one_hot(LABELS, 6)
    expected = triplet(raw, LABELS).loss + 0.3 * nn.functional.cross_entropy(24 * cosines, LABELS)
    assert loss(raw, LABELS).loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_memory_wraps_the_comparison() -> None:
    loss = build_loss(LossOptions(kind="joint", memory=16), people=6, dimension=8)
    assert isinstance(loss.compared, CrossBatchMemory)
    assert loss.compared.vectors.shape == (16, 8)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "magface"}, "contrastive, triplet"),
        ({"miner": "easy"}, "semihard"),
        ({"kind": "contrastive", "miner": "hard"}, "pairs sampler"),
        ({"margin": -0.1}, "margin -0.1"),
        ({"kind": "joint", "classifier": "linear"}, "softmax, cosface"),
        ({"kind": "joint", "classifier_margin": -1.0}, "margin -1.0"),
        ({"margin": float("nan")}, "margin nan"),
        ({"scale": 0.0}, "scale"),
        ({"classifier_weight": -1.0}, "classifier_weight"),
        ({"kind": "softmax", "label_smoothing": 1.0}, "label_smoothing 1.0"),
        ({"kind": "triplet", "label_smoothing": 0.1}, "triplet loss"),
        ({"memory": -1}, "memory -1"),
        ({"kind": "arcface", "memory": 8}, "arcface"),
        ({"kind": "triplet", "miner": "given", "memory": 8}, "'given'"),
    ],
)
def test_options_are_checked(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        LossOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("people", "dimension"), [(1, 8), (6, 0)])
def test_sizes_are_checked(people: int, dimension: int) -> None:
    with pytest.raises(OptionError, match="two people"):
        build_loss(LossOptions(), people=people, dimension=dimension)


def test_the_papers_numbers() -> None:
    assert LossOptions(kind="arcface").used_margin == 0.5
    assert LossOptions(kind="arcface", margin=0.0).used_margin == 0.0
    assert LossOptions(kind="contrastive").used_miner == "given"
    assert LossOptions().used_miner == "semihard"
    assert LossOptions(kind="contrastive").to_dict()["kind"] == "contrastive"


def test_options_need_no_torch() -> None:
    """Recipes are listed on machines without the train extra."""
    code = "import visavis.training.losses, sys; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "False"
