from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from visavis.errors import DataError, OptionError
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


def naive(
    *, negatives: int = 1, semihard: float | None = None, left_out: frozenset[int] = frozenset()
) -> set[tuple[int, int, int]]:
    found = set()
    for a in set(range(60)) - left_out:
        rows = [r for r in range(60) if r != a and r not in left_out]
        mates = [r for r in rows if LABELS[r] == LABELS[a]]
        if not mates:
            continue
        p = min(mates, key=lambda r: SCORES[a, r])
        strangers = [r for r in rows if LABELS[r] != LABELS[a]]
        if semihard is not None:
            low, high = SCORES[a, p] - semihard / 2, SCORES[a, p]
            strangers = [r for r in strangers if low < SCORES[a, r] < high]
        strangers.sort(key=lambda r: -SCORES[a, r])
        found |= {(a, p, n) for n in strangers[:negatives]}
    return found


def rows(triplets: NDArray[np.int64]) -> set[tuple[int, ...]]:
    return {tuple(row) for row in triplets.tolist()}


@pytest.mark.parametrize("negatives", [1, 4])
def test_hard(negatives: int) -> None:
    mined = hard_triplets(RAW, LABELS, seed=0, negatives=negatives)
    assert rows(mined.rows) == naive(negatives=negatives)
    assert len(mined.rows) == 58 * negatives
    assert mined.anchors == 58
    assert not mined.suspected.size
    a, p, n = mined.rows.T
    assert mined.violating == pytest.approx(
        np.mean(2 - 2 * SCORES[a, n] < 2 - 2 * SCORES[a, p] + 0.2)
    )


@pytest.mark.parametrize("negatives", [1, 3])
def test_semihard(negatives: int) -> None:
    mined = hard_triplets(RAW, LABELS, seed=0, kind="semihard", margin=0.5, negatives=negatives)
    assert rows(mined.rows) == naive(negatives=negatives, semihard=0.5)
    assert mined.violating == 1


def test_suspects_are_in_no_triplet() -> None:
    mined = hard_triplets(RAW, LABELS, seed=0, suspected=0.1)
    leads = {}
    for a in range(60):
        mates = [SCORES[a, r] for r in range(60) if r != a and LABELS[r] == LABELS[a]]
        strangers = [SCORES[a, r] for r in range(60) if LABELS[r] != LABELS[a]]
        if mates:
            leads[a] = max(strangers) - max(mates)
    worst = sorted(leads, key=lambda a: -leads[a])[:5]
    assert mined.suspected.tolist() == sorted(worst)
    assert rows(mined.rows) == naive(left_out=frozenset(worst))


def test_swapped_labels_are_the_suspects() -> None:
    raw = torch.tensor(CENTRES[LABELS] + 0.1 * RNG.normal(size=(60, 6)), dtype=torch.float32)
    labels = LABELS.copy()
    first, second = np.flatnonzero(labels == 12)[0], np.flatnonzero(labels == 13)[0]
    labels[first], labels[second] = 13, 12
    mined = hard_triplets(raw, labels, seed=0, suspected=2 / 58 + 1e-9)
    assert set(mined.suspected) == {first, second}


def test_a_sample_of_anchors_is_a_function_of_the_seed() -> None:
    first = hard_triplets(RAW, LABELS, seed=3, anchors=20)
    assert len({a for a, _, _ in first.rows.tolist()}) == first.anchors == 20
    assert rows(first.rows) < naive()
    np.testing.assert_array_equal(first.rows, hard_triplets(RAW, LABELS, seed=3, anchors=20).rows)
    assert rows(hard_triplets(RAW, LABELS, seed=4, anchors=20).rows) != rows(first.rows)


def test_rows_refer_to_the_order_given() -> None:
    order = np.argsort(LABELS, kind="stable")
    mined = hard_triplets(RAW[torch.as_tensor(order)], LABELS[order], seed=0)
    assert rows(order[mined.rows]) == naive()


def test_no_triplets() -> None:
    raw = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    mined = hard_triplets(raw, np.array([0, 0, 1]), seed=0, kind="semihard")
    assert mined.rows.shape == (0, 3)
    assert math.isnan(mined.violating)


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
        hard_triplets(raw, labels, seed=0)


@pytest.mark.parametrize(
    "options",
    [{"kind": "easy"}, {"anchors": 0}, {"negatives": 0}, {"suspected": 1.0}, {"margin": -1.0}],
)
def test_options_are_checked(options: dict[str, object]) -> None:
    with pytest.raises(OptionError, match="hard or semihard"):
        hard_triplets(RAW, LABELS, seed=0, **options)  # type: ignore[arg-type]
