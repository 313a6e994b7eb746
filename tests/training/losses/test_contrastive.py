from __future__ import annotations

import itertools
import math

import pytest
import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import ContrastiveLoss as LibraryLoss
from torch import Tensor

from visavis.errors import OptionError
from visavis.training.losses.contrastive import ContrastiveLoss

LABELS = torch.tensor([0, 0, 1, 2, 3, 3, 2, 0])


def embeddings(rows: int = 8, dimension: int = 5, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, dimension, dtype=torch.float64, generator=generator)


def pair_loss(x: Tensor, y: Tensor, mated: bool, margin: float) -> float:
    distance = math.dist(x.tolist(), y.tolist())
    return 0.5 * distance**2 if mated else 0.5 * max(0.0, margin - distance) ** 2


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("margin", [0.5, 1.0, 2.5])
def test_given_pairs_as_in_the_paper(normalize: bool, margin: float) -> None:
    raw = embeddings()
    vectors = raw / raw.norm(dim=1, keepdim=True) if normalize else raw
    expected = [
        pair_loss(vectors[k], vectors[k + 1], bool(LABELS[k] == LABELS[k + 1]), margin)
        for k in range(0, 8, 2)
    ]
    value = ContrastiveLoss(margin=margin, normalize=normalize)(raw, LABELS)
    assert value.loss.item() == pytest.approx(sum(expected) / 4, abs=1e-12)
    # Pairs 0-1 and 4-5 are mated.
    assert value.parts["mated"].item() == pytest.approx((expected[0] + expected[2]) / 2)
    assert value.parts["nonmated"].item() == pytest.approx((expected[1] + expected[3]) / 2)
    assert value.active.item() == pytest.approx(((expected[1] > 0) + (expected[3] > 0)) / 2)


@pytest.mark.parametrize("normalize", [False, True])
def test_all_pairs_weigh_both_kinds_alike(normalize: bool) -> None:
    raw = embeddings()
    vectors = raw / raw.norm(dim=1, keepdim=True) if normalize else raw
    kinds: dict[bool, list[float]] = {True: [], False: []}
    distances: dict[bool, list[float]] = {True: [], False: []}
    for i, j in itertools.combinations(range(8), 2):
        mated = bool(LABELS[i] == LABELS[j])
        kinds[mated].append(pair_loss(vectors[i], vectors[j], mated, 1.5))
        distances[mated].append(math.dist(vectors[i].tolist(), vectors[j].tolist()))
    means = {kind: sum(losses) / len(losses) for kind, losses in kinds.items()}
    value = ContrastiveLoss(margin=1.5, normalize=normalize, given=False)(raw, LABELS)
    assert value.loss.item() == pytest.approx((means[True] + means[False]) / 2, abs=1e-12)
    assert value.active.item() == pytest.approx(sum(d < 1.5 for d in distances[False]) / 23)
    for name, kind in (("mated_distance", True), ("nonmated_distance", False)):
        assert value.parts[name].item() == pytest.approx(
            sum(distances[kind]) / len(distances[kind])
        )


def test_the_library_has_another_formula() -> None:
    """Why the loss is our own: theirs is the distance itself, over pairs with a loss."""
    raw = torch.tensor([[0.0], [0.3], [0.0], [0.5], [0.0], [0.4], [0.0], [2.0]])
    labels = torch.tensor([0, 0, 1, 1, 2, 3, 4, 5])
    ours = ContrastiveLoss()(raw, labels).loss.item()
    assert ours == pytest.approx((0.5 * 0.3**2 + 0.5 * 0.5**2 + 0.5 * 0.6**2 + 0) / 4)
    library = LibraryLoss(distance=LpDistance(normalize_embeddings=False))
    pairs = tuple(torch.tensor(rows) for rows in ([0, 2], [1, 3], [4, 6], [5, 7]))
    assert library(raw, labels, pairs).item() == pytest.approx((0.3 + 0.5) / 2 + 0.6)


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("normalize", [False, True])
def test_gradient(given: bool, normalize: bool) -> None:
    loss = ContrastiveLoss(margin=1.2, normalize=normalize, given=given)
    raw = (0.4 * embeddings()).requires_grad_()
    assert torch.autograd.gradcheck(lambda rows: loss(rows, LABELS).loss, (raw,))


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("normalize", [False, True])
def test_equal_embeddings_have_a_finite_gradient(given: bool, normalize: bool) -> None:
    raw = torch.ones(8, 5, requires_grad=True)
    value = ContrastiveLoss(normalize=normalize, given=given)(raw, LABELS)
    value.loss.backward()
    assert value.parts["nonmated"].item() == pytest.approx(0.5)
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()


def test_a_zero_embedding_has_a_finite_gradient() -> None:
    raw = torch.zeros(4, 5, requires_grad=True)
    ContrastiveLoss(normalize=True)(raw, torch.tensor([0, 0, 1, 2])).loss.backward()
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()


def test_batches_of_one_kind() -> None:
    raw = embeddings().requires_grad_()
    non_mated = ContrastiveLoss(margin=9.0, given=False)(raw, torch.arange(8))
    assert non_mated.loss.item() == pytest.approx(non_mated.parts["nonmated"].item())
    mates = ContrastiveLoss(given=False)(raw, torch.zeros(8, dtype=torch.int64))
    assert mates.loss.item() == pytest.approx(mates.parts["mated"].item())
    assert math.isnan(mates.active.item())
    alone = ContrastiveLoss(given=False)(raw[:1], LABELS[:1]).loss
    alone.backward()
    assert alone.item() == 0


def test_odd_rows_are_no_pairs() -> None:
    with pytest.raises(OptionError, match="7 rows"):
        ContrastiveLoss()(embeddings(7), LABELS[:7])
