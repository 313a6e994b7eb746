from __future__ import annotations

import math

import pytest
import torch
from pytorch_metric_learning import losses as library
from pytorch_metric_learning.distances import LpDistance
from torch import Tensor

from visavis.training.losses.combined import CrossBatchMemory
from visavis.training.losses.contrastive import ContrastiveLoss
from visavis.training.losses.triplet import TripletLoss


def stream(batches: int, *, rows: int = 6) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (
            torch.randn(rows, 4, dtype=torch.float64, generator=generator),
            torch.randint(0, 4, (rows,), generator=generator),
        )
        for _ in range(batches)
    ]


def remembering(size: int, *, miner: str = "all", seed: int = 0) -> CrossBatchMemory:
    compared = TripletLoss(margin=0.3, miner=miner, seed=seed)
    return CrossBatchMemory(compared, size=size, dimension=4).to(torch.float64)


@pytest.mark.parametrize("size", [6, 10, 12, 40])
def test_triplets_equal_the_library(size: int) -> None:
    """Theirs counts the batch as part of its queue: the same embeddings, with theirs larger."""
    ours = remembering(size)
    plain = library.TripletMarginLoss(margin=0.3, distance=LpDistance(power=2))
    theirs = library.CrossBatchMemory(plain, 4, memory_size=size + 6)
    for raw, labels in stream(9):
        assert ours(raw, labels).loss.item() == pytest.approx(theirs(raw, labels).item())


def test_contrastive_against_a_loop() -> None:
    compared = ContrastiveLoss(margin=2.0, given=False)
    loss = CrossBatchMemory(compared, size=9, dimension=4).to(torch.float64)
    queue: list[tuple[list[float], int]] = []
    for raw, labels in stream(5):
        batch = list(zip(raw.tolist(), labels.tolist(), strict=True))
        means: dict[bool, list[float]] = {True: [], False: []}
        for i, (x, person) in enumerate(batch):
            for y, other in batch[i + 1 :] + queue:
                d = math.dist(x, y)
                mated = person == other
                means[mated].append(0.5 * d**2 if mated else 0.5 * max(0.0, 2.0 - d) ** 2)
        expected = sum(sum(kind) / len(kind) for kind in means.values()) / 2
        assert loss(raw, labels).loss.item() == pytest.approx(expected)
        queue = (queue + batch)[-9:]


@pytest.mark.parametrize("miner", ["all", "hard", "semihard"])
def test_resumed_from_its_state_it_goes_on_alike(miner: str) -> None:
    whole, first, resumed = (remembering(8, miner=miner) for _ in range(3))
    batches = stream(6)
    expected = [whole(*batch).loss.item() for batch in batches]
    assert [first(*batch).loss.item() for batch in batches[:3]] == expected[:3]
    resumed.load_state_dict(first.state_dict())
    assert [resumed(*batch).loss.item() for batch in batches[3:]] == expected[3:]


def test_gradients_flow_through_the_batch_only() -> None:
    loss = remembering(20)
    raw, labels = stream(2)[0]
    loss(raw, labels)
    kept = loss.vectors.clone()
    rows, labels = stream(2)[1]
    rows.requires_grad_()
    loss(rows, labels).loss.backward()
    assert rows.grad is not None
    assert rows.grad.abs().sum() > 0
    assert not loss.vectors.requires_grad
    assert torch.equal(kept[:6], loss.vectors[:6])
    assert torch.equal(loss.vectors[6:12], rows.detach())


def test_hard_mining_never_takes_the_row_itself() -> None:
    """One photo a person in the batch, the mate in the queue: eight triplets' worth of mates."""
    loss = remembering(6, miner="hard")
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(6)
    earlier, now = (torch.randn(6, 4, dtype=torch.float64, generator=generator) for _ in "ab")
    assert loss(earlier, labels).parts["triplets"].item() == 0
    value = loss(now, labels)
    unit = [torch.nn.functional.normalize(rows) for rows in (now, earlier)]
    expected = []
    for a in range(6):
        mate = math.dist(unit[0][a].tolist(), unit[1][a].tolist()) ** 2
        non_mated = [
            math.dist(unit[0][a].tolist(), rows[n].tolist()) ** 2
            for rows in unit
            for n in range(6)
            if n != a
        ]
        expected.append(max(0.0, mate - min(non_mated) + 0.3))
    assert value.loss.item() == pytest.approx(sum(expected) / 6)


def test_nothing_is_stored_outside_training() -> None:
    loss = remembering(8).eval()
    for batch in stream(2):
        loss(*batch)
    assert loss.stored.item() == 0
    assert not loss.vectors.any()


def test_a_batch_larger_than_the_memory() -> None:
    loss = remembering(4)
    for raw, labels in stream(3):
        loss(raw, labels)
        kept = {tuple(row) for row in loss.vectors.tolist()}
        assert kept == {tuple(row) for row in raw[-4:].tolist()}
