"""The numbers of other services: monotone, never 1, the habitual default at the threshold."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from visavis.service.dialects import similarity

Map = Callable[..., float]
MAPS = {"compreface": (similarity.compreface, 1.0, 0.5),
        "deepstack": (similarity.deepstack, 1.0, 0.5),
        "rekognition": (similarity.rekognition, 100.0, 80.0)}  # fmt: skip
SCORES = st.floats(-1, 1)
THRESHOLDS = st.floats(-0.5, 0.95)


@pytest.fixture(params=MAPS)
def mapped(request: pytest.FixtureRequest) -> tuple[Map, float, float]:
    """A map, its limit, and its habitual default."""
    return MAPS[request.param]


@given(scores=st.tuples(SCORES, SCORES), threshold=THRESHOLDS)
def test_a_higher_score_is_a_higher_number_and_never_the_limit(
    scores: tuple[float, float], threshold: float
) -> None:
    low, high = sorted(scores)
    assume(high - low > 1e-6)  # float32 templates are no finer
    for number, limit, _ in MAPS.values():
        lower, higher = (number(score, threshold=threshold) for score in (low, high))
        assert 0 < lower < higher < limit


@given(threshold=THRESHOLDS, step=st.floats(1e-6, 0.05))
def test_the_threshold_is_the_habitual_default(threshold: float, step: float) -> None:
    """A client that compares with its default decides as the service does."""
    for number, _, default in MAPS.values():
        assert number(threshold, threshold=threshold) == pytest.approx(default, rel=1e-12)
        assert number(threshold, threshold=threshold) >= default
        assert number(threshold - step, threshold=threshold) < default
        assert number(threshold + step, threshold=threshold) > default


@pytest.mark.parametrize(
    ("score", "of_compreface", "of_rekognition"),
    [
        (0.3455, 0.33338, 66.67),
        (0.4099, 0.50000, 80.00),
        (0.4704, 0.66515, 88.82),
        (0.6, 0.90915, 97.56),
        (0.7, 0.97683, 99.41),
        (0.8, 0.99571, 99.89),
    ],
)
def test_known_numbers(score: float, of_compreface: float, of_rekognition: float) -> None:
    assert similarity.compreface(score, threshold=0.4099) == pytest.approx(of_compreface, abs=6e-6)
    assert similarity.rekognition(score, threshold=0.4099) == pytest.approx(
        of_rekognition, abs=6e-3
    )


@given(score=SCORES, threshold=THRESHOLDS)
def test_it_is_the_hyperbolic_tangent_of_the_distance(score: float, threshold: float) -> None:
    wanted = (math.tanh(6 * (math.sqrt(2 - 2 * threshold) - math.sqrt(2 - 2 * score))) + 1) / 2
    assert similarity.compreface(score, threshold=threshold) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("above", [1.0, 1.0000001])
def test_rounding_of_templates_does_no_harm(mapped: tuple[Map, float, float], above: float) -> None:
    number, limit, _ = mapped
    assert number(above, threshold=0.4) == number(1.0, threshold=0.4) < limit
