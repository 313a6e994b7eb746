from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visavis.decision.bootstrap import PeopleBootstrap
from visavis.decision.operating_point import measure_points, people_needed, supported_count
from visavis.decision.pair_scores import PairScores, all_pairs, listed_pairs
from visavis.errors import CalibrationError, OptionError, UnsupportedFmrError


def _pairs(scores: np.ndarray, mated: np.ndarray | None = None) -> PairScores:
    """A list of non-mated pairs, each of two people of its own, and of mated pairs."""
    extra = np.zeros(0) if mated is None else mated
    same = np.r_[np.zeros(len(scores), bool), np.ones(len(extra), bool)]
    people = [(f"a{i}", f"b{i}") for i in range(len(scores))]
    people += [(f"m{i}", f"m{i}") for i in range(len(extra))]
    return listed_pairs(np.r_[scores, extra], same, people)


def _naive_threshold(scores: np.ndarray, target: float) -> float:
    """Smallest observed score at or above which at most ``target`` of the scores lie."""
    fitting = [t for t in scores if (scores >= t).mean() <= target * (1 + 1e-12)]
    return float(min(fitting))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(60, 400),
    levels=st.integers(20, 2000),
    target=st.floats(0.3, 0.9),
)
def test_thresholds_agree_with_a_loop_ties_included(seed, count, levels, target) -> None:
    rng = np.random.default_rng(seed)
    scores = (rng.integers(0, levels, count) / levels).astype(np.float32)
    pairs = _pairs(scores)
    draws = PeopleBootstrap.draw(pairs.people, replicates=100)
    try:
        point = measure_points(pairs, [target], bootstrap=draws)[0]
    except UnsupportedFmrError:
        assert not [t for t in scores if 10 <= (scores >= t).sum() <= target * count]
        return
    assert point.threshold == _naive_threshold(scores, target)
    assert point.fmr == pytest.approx((scores >= point.threshold).mean())
    assert point.fmr <= target * (1 + 1e-12)
    assert point.ties == (scores == np.float32(point.threshold)).sum()
    assert np.isnan(point.fnmr)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_lower_rates_have_higher_thresholds_and_more_misses(seed) -> None:
    rng = np.random.default_rng(seed)
    pairs = _pairs(rng.uniform(-1, 1, 1000), rng.uniform(-0.5, 1, 200))
    draws = PeopleBootstrap.draw(pairs.people, replicates=100)
    points = measure_points(pairs, [0.5, 0.1, 0.03, 0.01], bootstrap=draws)
    thresholds = [p.threshold for p in points]
    assert thresholds == sorted(thresholds)
    assert [p.fnmr for p in points] == sorted(p.fnmr for p in points)
    for point in points:
        low, high = point.fnmr_ci
        assert low <= point.fnmr <= high
        assert point.fnmr == pytest.approx((pairs.mated < np.float32(point.threshold)).mean())


def test_a_rate_below_the_data_is_refused_with_the_people_it_takes(simulate) -> None:
    x, who = simulate(np.random.default_rng(0), 100)
    pairs = all_pairs(x, who)
    assert supported_count(pairs, 1e-2) == 49
    with pytest.raises(UnsupportedFmrError, match=r"4,950.*100 people"):
        supported_count(pairs, 1e-3)
    with pytest.raises(UnsupportedFmrError):
        supported_count(pairs, 5e-324)
    needed = people_needed(pairs, 1e-3)
    more, whose = simulate(np.random.default_rng(1), needed + 15)
    assert supported_count(all_pairs(more, whose), 1e-3) >= 10


def test_many_photos_of_few_people_do_not_stand_in_for_people(simulate) -> None:
    x, who = simulate(np.random.default_rng(0), 12, each=40, noise=0.05)
    pairs = all_pairs(x, who)
    assert pairs.non_mated > 100_000
    with pytest.raises(UnsupportedFmrError):
        supported_count(pairs, 1e-3)


def test_a_rate_above_the_kept_tail_is_refused(simulate) -> None:
    x, who = simulate(np.random.default_rng(0), 400)
    pairs = all_pairs(x, who, tail=0.01)
    with pytest.raises(CalibrationError, match="longer tail"):
        supported_count(pairs, 0.5)


@pytest.mark.parametrize("target", [0.0, 1.0, -0.1, float("nan")])
def test_rates_outside_0_to_1_are_refused(target) -> None:
    with pytest.raises(OptionError):
        supported_count(_pairs(np.linspace(0, 1, 100)), target)


def test_order_of_photos_does_not_matter(simulate) -> None:
    x, who = simulate(np.random.default_rng(3), 60, each=2)
    order = np.random.default_rng(4).permutation(len(x))
    one = measure_points(all_pairs(x, who), [0.1, 0.02])
    other = measure_points(all_pairs(x[order], who[order]), [0.1, 0.02])
    assert [p.fmr_ci for p in one] == [p.fmr_ci for p in other]
    assert [p.threshold for p in one] == pytest.approx([p.threshold for p in other], abs=1e-6)
