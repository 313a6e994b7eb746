from __future__ import annotations

import itertools
import math

import pytest
import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor

from visavis.errors import OptionError
from visavis.training.losses.triplet import TripletLoss

LABELS = torch.tensor([0, 0, 1, 1, 2, 0, 3, 3, 3])
MARGIN = 0.2


def embeddings(*, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(9, 4, dtype=torch.float64, generator=generator)


def squared(raw: Tensor, *, normalize: bool = True) -> list[list[float]]:
    vectors = raw / raw.norm(dim=1, keepdim=True) if normalize else raw
    return [[math.dist(x, y) ** 2 for y in vectors.tolist()] for x in vectors.tolist()]


def all_triplets() -> list[tuple[int, int, int]]:
    return [
        (a, p, n)
        for a, p, n in itertools.permutations(range(9), 3)
        if LABELS[a] == LABELS[p] and LABELS[a] != LABELS[n]
    ]


@pytest.mark.parametrize("normalize", [True, False])
def test_batch_all_is_the_mean_over_violating_triplets(normalize: bool) -> None:
    raw = embeddings()
    d = squared(raw, normalize=normalize)
    losses = [max(0.0, d[a][p] - d[a][n] + MARGIN) for a, p, n in all_triplets()]
    violating = [loss for loss in losses if loss > 0]
    value = TripletLoss(margin=MARGIN, miner="all", normalize=normalize)(raw, LABELS)
    assert value.loss.item() == pytest.approx(sum(violating) / len(violating))
    assert value.active.item() == pytest.approx(len(violating) / len(losses))
    assert value.parts["triplets"].item() == len(violating)
    # The library's own default: all triplets, mean over those with a loss.
    library = TripletMarginLoss(
        margin=MARGIN, distance=LpDistance(normalize_embeddings=normalize, power=2)
    )
    assert value.loss.item() == pytest.approx(library(raw, LABELS).item())


def test_batch_hard_is_the_mean_over_anchors() -> None:
    raw = embeddings()
    d = squared(raw)
    losses = []
    for a in range(9):
        mates = [d[a][p] for p in range(9) if p != a and LABELS[a] == LABELS[p]]
        non_mated = [d[a][n] for n in range(9) if LABELS[a] != LABELS[n]]
        if mates:
            losses.append(max(0.0, max(mates) - min(non_mated) + MARGIN))
    assert len(losses) == 8  # Person 2 has one photo: no anchor, but a negative.
    value = TripletLoss(margin=MARGIN, miner="hard")(raw, LABELS)
    assert value.loss.item() == pytest.approx(sum(losses) / 8)
    distance = LpDistance(power=2)
    library = TripletMarginLoss(margin=MARGIN, distance=distance, reducer=MeanReducer())
    triplets = BatchHardMiner(distance=distance)(raw, LABELS)
    assert value.loss.item() == pytest.approx(library(raw, LABELS, triplets).item())


def test_semi_hard_takes_one_negative_within_the_margin_for_each_pair() -> None:
    raw = embeddings(seed=3)
    d = squared(raw)
    eligible = {
        (a, p): [m for b, q, m in all_triplets() if (a, p) == (b, q) and 0 < d[a][m] - d[a][p] < 2]
        for a, p, _ in all_triplets()
    }
    means = []
    loss = TripletLoss(margin=2.0, miner="semihard")
    for _ in range(200):
        value = loss(raw, LABELS)
        means.append(value.loss.item())
        assert value.parts["triplets"].item() == sum(bool(n) for n in eligible.values())
    # Each pair's negative is drawn evenly: on average the mean over its eligible ones.
    pairs = [
        sum(d[a][p] - d[a][n] + 2.0 for n in found) / len(found)
        for (a, p), found in eligible.items()
        if found
    ]
    assert sum(means) / 200 == pytest.approx(sum(pairs) / len(pairs), rel=0.03)
    assert len(set(means)) > 100


def test_semi_hard_draws_by_seed_and_batches_seen() -> None:
    raw = embeddings(seed=3)

    def run(loss: TripletLoss, batches: int) -> list[float]:
        return [loss(raw, LABELS).loss.item() for _ in range(batches)]

    whole = run(TripletLoss(margin=2.0, seed=5), 6)
    first = TripletLoss(margin=2.0, seed=5)
    assert run(first, 3) == whole[:3]
    resumed = TripletLoss(margin=2.0, seed=5)
    resumed.load_state_dict(first.state_dict())
    torch.rand(7)  # The global generator plays no part.
    assert run(resumed, 3) == whole[3:]
    assert run(TripletLoss(margin=2.0, seed=6), 6) != whole
    resting = TripletLoss(margin=2.0, seed=5).eval()
    assert run(resting, 2) == [whole[0]] * 2


def test_given_triplets_count_whether_they_violate_or_not() -> None:
    raw = embeddings()
    rows = torch.tensor([0, 1, 2, 3, 2, 4, 6, 7, 8])
    labels = torch.tensor([0, 0, 1, 1, 1, 2, 3, 3, 0])
    d = squared(raw[rows])
    losses = [max(0.0, d[k][k + 1] - d[k][k + 2] + MARGIN) for k in (0, 3, 6)]
    value = TripletLoss(margin=MARGIN, miner="given")(raw[rows], labels)
    assert value.loss.item() == pytest.approx(sum(losses) / 3)
    with pytest.raises(OptionError, match="8 rows"):
        TripletLoss(miner="given")(raw[:8], labels[:8])


@pytest.mark.parametrize("miner", ["semihard", "hard", "all", "given"])
def test_gradient(miner: str) -> None:
    loss = TripletLoss(margin=0.9, miner=miner).eval()
    raw = embeddings(seed=1).requires_grad_()
    labels = torch.tensor([0, 0, 1, 1, 1, 0, 2, 2, 3])
    assert loss(raw, labels).loss.item() > 0
    assert torch.autograd.gradcheck(lambda rows: loss(rows, labels).loss, (raw,))


@pytest.mark.parametrize("miner", ["semihard", "hard", "all", "given"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_collapsed_embeddings(miner: str, value: float) -> None:
    """All distances zero: the loss is the margin where there are triplets, gradients finite."""
    raw = torch.full((9, 4), value, requires_grad=True)
    found = TripletLoss(margin=MARGIN, miner=miner)(raw, LABELS)
    found.loss.backward()
    assert found.loss.item() == pytest.approx(0.0 if miner == "semihard" else MARGIN)
    assert found.active.item() == 1
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()


@pytest.mark.parametrize("miner", ["semihard", "hard", "all"])
@pytest.mark.parametrize("labels", [torch.arange(9), torch.zeros(9, dtype=torch.int64)])
def test_batches_without_triplets_have_loss_zero(miner: str, labels: Tensor) -> None:
    raw = embeddings().requires_grad_()
    value = TripletLoss(miner=miner)(raw, labels)
    value.loss.backward()
    assert value.loss.item() == 0
    assert math.isnan(value.active.item())
    assert value.parts["triplets"].item() == 0
    assert raw.grad is not None
    assert not raw.grad.any()


def test_distances_in_the_log() -> None:
    raw = embeddings()
    d = squared(raw)
    pairs = list(itertools.permutations(range(9), 2))
    mated = [d[i][j] for i, j in pairs if LABELS[i] == LABELS[j]]
    nonmated = [d[i][j] for i, j in pairs if LABELS[i] != LABELS[j]]
    parts = TripletLoss()(raw, LABELS).parts
    assert parts["mated_distance"].item() == pytest.approx(sum(mated) / len(mated))
    assert parts["nonmated_distance"].item() == pytest.approx(sum(nonmated) / len(nonmated))


def test_unknown_miner() -> None:
    with pytest.raises(OptionError, match=r"semihard.*given"):
        TripletLoss(miner="easy")
