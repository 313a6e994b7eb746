"""From a false-merge rate to scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from visavis.clustering.thresholds import Strangers
from visavis.errors import OptionError

SCORES = (0.2, 0.3, 0.4, 0.5, 0.6)
RATES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-6)


def test_scores_between_two_are_log_linear() -> None:
    strangers = Strangers(SCORES, RATES)
    assert strangers.score(1e-3) == pytest.approx(0.4)
    assert strangers.score(10**-2.5) == pytest.approx(0.35)
    assert strangers.score(1e-5) == pytest.approx(0.55)


def test_nothing_is_extrapolated() -> None:
    strangers = Strangers(SCORES, RATES)
    assert strangers.score(0.5) == 0.2
    assert strangers.score(1e-12) == 0.6
    assert strangers.rate(0.9) == pytest.approx(1e-6)
    assert strangers.rate(-0.5) == pytest.approx(1e-1)


@given(st.floats(0.2, 0.6))
def test_rate_is_the_inverse_of_score(score: float) -> None:
    strangers = Strangers(SCORES, RATES)
    assert strangers.score(strangers.rate(score)) == pytest.approx(score)


def test_a_hundred_times_the_people_is_a_hundredth_of_the_rate() -> None:
    strangers = Strangers(SCORES, RATES)
    # 10 x 0.01 / 1000 and / 100,000
    assert strangers.for_faces(1000, false_merge_rate=0.01) == pytest.approx(0.5)
    assert strangers.for_faces(100_000, false_merge_rate=0.01) == pytest.approx(0.6)
    assert strangers.for_faces(100_000, false_merge_rate=0.1) == pytest.approx(0.55)


@given(st.integers(1, 10**7), st.floats(1e-4, 0.5))
def test_thresholds_follow_the_collection(clusters: int, rate: float) -> None:
    strangers = Strangers(SCORES, RATES)
    faces = strangers.for_faces(clusters, false_merge_rate=rate)
    assert strangers.for_faces(2 * clusters, false_merge_rate=rate) >= faces
    assert strangers.for_faces(clusters, false_merge_rate=rate / 2) >= faces
    # Never looser than FMR 1e-3; clusters never need more than FMR 1e-4 of their mean score.
    assert faces >= 0.4
    assert strangers.for_clusters(faces) == min(faces, strangers.score(1e-4))


def test_the_median_of_normal_scores_is_found() -> None:
    scores = np.linspace(0.2, 0.5, 20)
    strangers = Strangers(tuple(scores), tuple(ndtr(-(scores - 0.07) / 0.1)))
    assert strangers.centre == pytest.approx(0.07, abs=1e-9)
    assert Strangers(SCORES, RATES, typical=0.05).centre == 0.05


def test_equal_scores_are_allowed() -> None:
    strangers = Strangers((0.3, 0.3, 0.4), (1e-2, 1e-3, 1e-4))
    assert strangers.score(1e-4) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("scores", "rates"),
    [
        ((0.3,), (1e-2,)),
        ((0.3, 0.4), (1e-2,)),
        ((0.4, 0.3), (1e-2, 1e-3)),
        ((0.3, 0.3), (1e-2, 1e-3)),
        ((0.3, 0.4), (1e-3, 1e-2)),
        ((0.3, 0.4), (1e-2, 1e-2)),
        ((0.3, 0.4), (1e-2, 0.0)),
        ((0.3, 0.4), (1.0, 1e-2)),
        ((0.3, 1.4), (1e-1, 1e-2)),
        ((0.3, float("nan")), (1e-1, 1e-2)),
    ],
)
def test_other_numbers_are_refused(scores, rates) -> None:
    with pytest.raises(OptionError):
        Strangers(scores, rates)


def test_a_typical_score_above_all_thresholds_is_refused() -> None:
    with pytest.raises(OptionError, match="typical"):
        Strangers(SCORES, RATES, typical=0.7)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan")])
def test_other_rates_are_refused(rate: float) -> None:
    with pytest.raises(OptionError, match="false-merge"):
        Strangers(SCORES, RATES).for_faces(10, false_merge_rate=rate)
