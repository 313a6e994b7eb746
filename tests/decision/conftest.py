"""Simulated templates whose truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

Simulate = Callable[..., tuple[np.ndarray, np.ndarray]]


def simulate(
    rng: np.random.Generator,
    people: int,
    *,
    each: int = 1,
    dimension: int = 64,
    noise: float = 0.5,
    center: float = 0.3,
    group: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors about a common center: ``(people * each, D)`` and whose each is.

    ``group`` shifts two of five people along a direction of their own, as children are.
    """
    who = np.repeat(np.arange(people), each)
    identity = rng.standard_normal((people, dimension)) / np.sqrt(dimension)
    x = identity[who] + noise * rng.standard_normal((len(who), dimension)) / np.sqrt(dimension)
    x[:, 0] += center * np.sqrt(1 + noise**2)
    x[:, 1] += group * (who % 5 < 2)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), who


@pytest.fixture(name="simulate")
def _simulate() -> Simulate:
    return simulate


@pytest.fixture
def few_half_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight half-samples instead of 32 behind each interval of an estimate on unlabelled photos."""
    from visavis.decision.unlabelled import estimate_non_mated

    monkeypatch.setitem(estimate_non_mated.__kwdefaults__, "half_samples", 8)
