"""The figures of benchmarks/unlabelled.py and domain_mean.py, against naive loops."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.domain_mean import sides
from benchmarks.unlabelled import DRAW, MOST_OF_ONE, Population, Scores, draws


def faces(people: np.ndarray) -> np.ndarray:
    x = np.random.default_rng(3).standard_normal((len(people), 16)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def naive(pairs: list[tuple[float, int, int]], rate: float) -> tuple[float, float]:
    """FMR and FNMR where at most a share ``rate`` of the non-mated scores is accepted."""
    others = sorted((s for s, a, b in pairs if a != b), reverse=True)
    lowest = min(
        [s for s in others if sum(o >= s for o in others) <= rate * len(others)], default=2
    )
    total = missed = 0.0
    for person in {a for _, a, b in pairs if a == b}:
        own = [s for s, a, b in pairs if a == b == person]
        share = min(len(own), MOST_OF_ONE) / len(own)
        total += share * len(own)
        missed += share * sum(s < lowest for s in own)
    return sum(s >= lowest for s in others) / len(others), missed / total


@pytest.mark.parametrize("rate", [0.2, 0.05])
def test_rates_at_a_measured_fmr(rate: float) -> None:
    people = np.array([0] * 7 + [1, 1, 2, 2, 2, 3, 4, 5])
    x = faces(people)
    pairs = [
        (float(x[i] @ x[j]), int(people[i]), int(people[j]))
        for i in range(len(x))
        for j in range(i + 1, len(x))
    ]
    scores = Scores.within(x, people)
    fmr, fnmr = naive(pairs, rate)
    assert scores.fmr(scores.threshold(rate)) == pytest.approx(fmr)
    assert scores.fnmr_at(rate) == pytest.approx(fnmr)


def test_two_sides_compare_across_only() -> None:
    a, b = np.array([0, 0, 1, 2]), np.array([0, 1, 3])
    x, y = faces(a), faces(b)
    scores = Scores.between(x, a, y, b)
    mated = [x[i] @ y[j] for i in range(4) for j in range(3) if a[i] == b[j]]
    assert sorted(scores.mated) == pytest.approx(sorted(mated))
    assert len(scores.non_mated) == 12 - len(mated)


@pytest.mark.parametrize("count", [100, 700])
def test_nobody_is_drawn_and_tested(count: int) -> None:
    people = np.repeat(np.arange(count), 4)
    population = Population("some", faces(people), people)
    for drawn, known, rest in draws(population, 3):
        assert drawn.sum() == DRAW
        assert not set(people[drawn]) & set(people[rest])
        assert not set(people[known]) & set(people[rest])
        assert set(people[drawn]) <= set(people[known])


def test_sides_share_nobody() -> None:
    people = np.concatenate([np.arange(40), np.repeat(np.arange(40, 60), 3)])
    pool, rest = sides(people, np.random.default_rng(0))
    assert not set(people[pool]) & set(people[rest])
    assert sorted([*pool, *rest]) == list(range(len(people)))
    assert len(set(people[rest]) & set(range(40, 60))) == 10
