"""Softmax, ArcFace, CosFace, AdaFace and SFace against loops written from the papers."""

from __future__ import annotations

import math

import pytest
import torch
from pytorch_metric_learning import losses as library
from torch import Tensor, nn

from visavis.training.losses.classifiers import (
    AdaFaceLoss,
    ArcFaceLoss,
    CosFaceLoss,
    SFaceLoss,
    SoftmaxLoss,
)

PEOPLE, DIMENSION = 5, 3
LABELS = torch.tensor([0, 1, 4, 4, 2, 0])


def embeddings(*, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(6, DIMENSION, dtype=torch.float64, generator=generator)


def centers(loss: nn.Module) -> list[list[float]]:
    """The people's weights, one row a person."""
    if isinstance(loss, (ArcFaceLoss, CosFaceLoss)):
        return loss.softmax.W.T.tolist()
    if isinstance(loss, SoftmaxLoss):
        return loss.classifier.W.T.tolist()
    return loss.centers.weight.tolist()


def cosine(x: list[float], y: list[float]) -> float:
    return sum(a * b for a, b in zip(x, y, strict=True)) / (math.hypot(*x) * math.hypot(*y))


def cross_entropy(logits: list[float], own: int, smoothing: float = 0.0) -> float:
    peak = max(logits)
    total = peak + math.log(sum(math.exp(logit - peak) for logit in logits))
    mean = sum(total - logit for logit in logits) / len(logits)
    return (1 - smoothing) * (total - logits[own]) + smoothing * mean


def made(kind: type[nn.Module], **options: float) -> nn.Module:
    torch.manual_seed(0)
    return kind(PEOPLE, DIMENSION, **options).to(torch.float64)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_plain_softmax(smoothing: float) -> None:
    loss = made(SoftmaxLoss, label_smoothing=smoothing)
    raw = embeddings()
    weights, biases = loss.classifier.weight.tolist(), loss.classifier.bias.tolist()
    expected, right = 0.0, 0
    for row, own in zip(raw.tolist(), LABELS.tolist(), strict=True):
        logits = [
            sum(a * b for a, b in zip(row, w, strict=True)) + bias
            for w, bias in zip(weights, biases, strict=True)
        ]
        expected += cross_entropy(logits, own, smoothing) / 6
        right += logits.index(max(logits)) == own
    value = loss(raw, LABELS)
    assert value.loss.item() == pytest.approx(expected)
    assert value.parts["accuracy"].item() == pytest.approx(right / 6)
    assert math.isnan(value.active.item())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (SoftmaxLoss, {"scale": 16.0}),
        (CosFaceLoss, {"scale": 24.0, "margin": 0.15}),
        (ArcFaceLoss, {"scale": 16.0, "margin": 0.5}),
        (ArcFaceLoss, {"scale": 16.0, "margin": 1.4}),
    ],
)
def test_cosine_softmax_with_and_without_margin(
    kind: type[nn.Module], options: dict[str, float], smoothing: float
) -> None:
    loss = made(kind, **options, label_smoothing=smoothing)
    raw, scale, margin = embeddings(), options["scale"], options.get("margin", 0.0)
    expected = 0.0
    for row, own in zip(raw.tolist(), LABELS.tolist(), strict=True):
        logits = [scale * cosine(row, w) for w in centers(loss)]
        angle = math.acos(logits[own] / scale)
        if kind is CosFaceLoss:
            logits[own] -= scale * margin
        elif kind is ArcFaceLoss and angle + margin <= math.pi:
            logits[own] = scale * math.cos(angle + margin)
        elif kind is ArcFaceLoss:
            logits[own] -= scale * margin * math.sin(margin)
        expected += cross_entropy(logits, own, smoothing) / 6
    assert loss(raw, LABELS).loss.item() == pytest.approx(expected)


def test_arcface_equals_the_library() -> None:
    torch.manual_seed(0)
    theirs = library.ArcFaceLoss(PEOPLE, DIMENSION, margin=math.degrees(0.5), scale=64)
    ours = ArcFaceLoss(PEOPLE, DIMENSION)
    theirs.W.data.copy_(ours.softmax.W.data)
    raw = embeddings().float()
    assert ours(raw, LABELS).loss.item() == pytest.approx(theirs(raw, LABELS).item(), rel=1e-5)


def adaface_expected(loss: nn.Module, raw: Tensor, mean: float, deviation: float) -> float:
    scale, m, h = 30.0, 0.4, 0.333
    total = 0.0
    for row, own in zip(raw.tolist(), LABELS.tolist(), strict=True):
        norm = min(max(math.hypot(*row), 1e-3), 100.0)
        quality = min(max(h * (norm - mean) / (deviation + 1e-3), -1.0), 1.0)
        logits = [scale * cosine(row, w) for w in centers(loss)]
        angle = math.acos(logits[own] / scale) - m * quality
        angle = min(max(angle, 1e-3), math.pi - 1e-3)
        logits[own] = scale * (math.cos(angle) - (m * quality + m))
        total += cross_entropy(logits, own) / 6
    return total


def test_adaface_follows_the_norms() -> None:
    loss = made(AdaFaceLoss, scale=30.0)
    batches = [embeddings(seed=1), 3 * embeddings(seed=2), embeddings(seed=3)]
    mean = deviation = 0.0
    for number, raw in enumerate(batches):
        norms = [math.hypot(*row) for row in raw.tolist()]
        average = sum(norms) / 6
        spread = math.sqrt(sum((norm - average) ** 2 for norm in norms) / 5)
        if number == 0:
            mean, deviation = average, spread
        else:
            mean = 0.99 * mean + 0.01 * average
            deviation = 0.99 * deviation + 0.01 * spread
        value = loss(raw, LABELS)
        assert value.loss.item() == pytest.approx(adaface_expected(loss, raw, mean, deviation))
        assert value.parts["norm"].item() == pytest.approx(average)
    loss.eval()
    before = loss.norm_mean.item()
    value = loss(batches[1], LABELS)
    assert value.loss.item() == pytest.approx(adaface_expected(loss, batches[1], mean, deviation))
    assert loss.norm_mean.item() == before


def test_adaface_between_arcface_and_cosface() -> None:
    """A norm of the mean: CosFace; far below it: ArcFace."""
    loss = made(AdaFaceLoss, scale=30.0).eval()
    near = nn.functional.normalize(loss.centers.weight.detach())[LABELS] + 0.3 * embeddings()
    raw = nn.functional.normalize(near)
    for mean, kind in ((1.0, CosFaceLoss), (1e6, ArcFaceLoss)):
        loss.norm_mean.fill_(mean)
        same = made(kind, scale=30.0, margin=0.4)
        same.softmax.W.data.copy_(loss.centers.weight.data.T)
        assert loss(raw, LABELS).loss.item() == pytest.approx(same(raw, LABELS).loss.item())


def test_adaface_keeps_its_statistics_in_the_state() -> None:
    first, second = made(AdaFaceLoss), made(AdaFaceLoss)
    first(embeddings(), LABELS)
    second.load_state_dict(first.state_dict())
    raw = embeddings(seed=4)
    assert first(raw, LABELS).loss.item() == second(raw, LABELS).loss.item()
    alone = second(raw[:1], LABELS[:1]).loss
    assert math.isfinite(alone.item())


@pytest.mark.parametrize("slope", [80.0, 5.0])
def test_sface(slope: float) -> None:
    loss = made(SFaceLoss, slope=slope)
    raw = embeddings()
    intra = inter = 0.0
    for row, own in zip(raw.tolist(), LABELS.tolist(), strict=True):
        for person, weight in enumerate(centers(loss)):
            score = cosine(row, weight)
            angle = math.acos(score)
            if person == own:
                intra -= score * 64 / (1 + math.exp(-slope * (angle - 0.87))) / 6
            else:
                inter += score * 64 / (1 + math.exp(slope * (angle - 1.2))) / 6
    value = loss(raw, LABELS)
    assert value.loss.item() == pytest.approx(intra + inter)
    assert value.parts["intra"].item() == pytest.approx(intra)
    assert value.parts["inter"].item() == pytest.approx(inter)


def test_sface_gradient_takes_the_forces_as_constants() -> None:
    loss = made(SFaceLoss, slope=5.0)
    raw = embeddings().requires_grad_()
    loss(raw, LABELS).loss.backward()
    fixed = raw.detach().requires_grad_()
    cosines = nn.functional.normalize(fixed) @ nn.functional.normalize(loss.centers.weight).T
    angles = cosines.detach().acos()
    own = nn.functional.one_hot(LABELS, PEOPLE).bool()
    force = torch.where(
        own, -64 / (1 + torch.exp(-5 * (angles - 0.87))), 64 / (1 + torch.exp(5 * (angles - 1.2)))
    )
    (force * cosines).sum(dim=1).mean().backward()
    torch.testing.assert_close(raw.grad, fixed.grad)


KINDS = [
    (SoftmaxLoss, {}),
    (SoftmaxLoss, {"scale": 8.0}),
    (ArcFaceLoss, {"scale": 8.0}),
    (CosFaceLoss, {"scale": 8.0}),
]


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_gradient(kind: type[nn.Module], options: dict[str, float]) -> None:
    loss = made(kind, **options).eval()
    raw = embeddings().requires_grad_()
    assert torch.autograd.gradcheck(lambda rows: loss(rows, LABELS).loss, (raw,))


def test_adaface_gradient_stops_at_the_norm() -> None:
    """The quality is a constant: the embedding's gradient is at right angles to it."""
    loss = made(AdaFaceLoss, scale=8.0).eval()
    raw = embeddings().requires_grad_()
    loss(raw, LABELS).loss.backward()
    assert raw.grad is not None
    along = (raw.grad * raw).sum(dim=1)
    torch.testing.assert_close(along, torch.zeros(6, dtype=torch.float64), atol=1e-12, rtol=0)
    assert raw.grad.abs().max() > 1e-3


@pytest.mark.parametrize("kind", [ArcFaceLoss, CosFaceLoss, AdaFaceLoss, SFaceLoss])
@pytest.mark.parametrize("sign", [1.0, -1.0, 0.0])
def test_an_embedding_on_its_center(kind: type[nn.Module], sign: float) -> None:
    """Where the angle's slope is infinite, and for an embedding of length zero."""
    torch.manual_seed(0)
    loss = kind(PEOPLE, DIMENSION)
    raw = (sign * torch.tensor(centers(loss))[LABELS]).requires_grad_()
    value = loss(raw, LABELS).loss
    value.backward()
    assert torch.isfinite(value)
    for parameter in (raw, *loss.parameters()):
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
