from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from visavis.errors import DataError
from visavis.training.mining import offline
from visavis.training.mining.offline import hard_triplets

RNG = np.random.default_rng(7)
LABELS = RNG.permutation(np.repeat(np.arange(14), [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 8, 9]))
CENTRES = RNG.normal(size=(14, 6))
RAW = torch.tensor(CENTRES[LABELS] + RNG.normal(size=(60, 6)), dtype=torch.float32)
SCORES = (torch.nn.functional.normalize(RAW) @ torch.nn.functional.normalize(RAW).T).numpy()


@pytest.fixture(params=[(512, 1 << 15), (7, 11)], ids=["whole", "blocks"], autouse=True)
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline, "_ANCHORS", request.param[0])
    monkeypatch.setattr(offline, "_COLUMNS", request.param[1])


def naive() -> list[list[int]]:
    found = []
    for a in range(60):
        mates = [r for r in range(60) if r != a and LABELS[r] == LABELS[a]]
        non_mated = [r for r in range(60) if LABELS[r] != LABELS[a]]
        if mates:
            positive = min(mates, key=lambda r: SCORES[a, r])
            found.append([a, positive, max(non_mated, key=lambda r: SCORES[a, r])])
    return found


def test_hard() -> None:
    mined = hard_triplets(RAW, LABELS)
    assert mined.tolist() == naive()
    assert mined.shape == (58, 3)


def test_rows_refer_to_the_order_given() -> None:
    order = np.argsort(LABELS, kind="stable")
    mined = hard_triplets(RAW[torch.as_tensor(order)], LABELS[order])
    assert sorted(order[mined].tolist()) == naive()


@pytest.mark.parametrize(
    ("raw", "labels"),
    [
        (RAW, LABELS[:-1]),
        (RAW[0], LABELS[:6]),
        (RAW, np.zeros(60, dtype=np.int64)),
        (RAW, np.arange(60)),
        (RAW[:0], LABELS[:0]),
    ],
)
def test_data_without_triplets_is_refused(raw: torch.Tensor, labels: NDArray[np.int64]) -> None:
    with pytest.raises(DataError, match="two"):
        hard_triplets(raw, labels)
