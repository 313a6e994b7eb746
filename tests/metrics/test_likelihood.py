"""Cllr against its formula, its minimum against scikit-learn's isotonic regression."""

from __future__ import annotations

from math import exp, log, log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from visavis.errors import OptionError
from visavis.metrics.cells import assign, tally
from visavis.metrics.likelihood import cllr, llr_costs, min_cllr, min_cllr_of, pav_llr

llrs = st.lists(st.floats(-30, 30), min_size=1, max_size=30)
scores = st.lists(st.integers(-8, 8).map(lambda k: k / 8), min_size=1, max_size=40)


@given(llrs, llrs)
def test_cllr_is_its_formula(mated: list[float], non_mated: list[float]) -> None:
    first = sum(log2(1 + exp(-v)) for v in mated) / len(mated)
    second = sum(log2(1 + exp(v)) for v in non_mated) / len(non_mated)
    assert cllr(mated, non_mated) == pytest.approx((first + second) / 2, rel=1e-9)


def test_cllr_of_infinite_llrs() -> None:
    assert cllr([np.inf], [-np.inf]) == 0.0
    assert cllr([-np.inf], [0.0]) == np.inf
    assert cllr([1000.0], [-1000.0]) == 0.0  # no overflow


@pytest.mark.parametrize("bad", [[], [float("nan")], [[0.0]]])
def test_cllr_refuses(bad) -> None:
    with pytest.raises(OptionError):
        cllr(bad, [0.0])
    with pytest.raises(OptionError):
        llr_costs(bad, mated=False)


def isotonic_cllr(mated: np.ndarray, non_mated: np.ndarray) -> float:
    """Minimum Cllr from scikit-learn's posterior on the pooled scores."""
    x = np.r_[mated, non_mated]
    y = np.r_[np.ones(len(mated)), np.zeros(len(non_mated))]
    p = IsotonicRegression(y_min=0, y_max=1).fit(x, y).predict(x)
    prior = log(len(mated) / len(non_mated))
    with np.errstate(divide="ignore"):
        llr = np.log(p) - np.log1p(-p) - prior
    return cllr(llr[: len(mated)], llr[len(mated) :])


@given(scores, scores)
def test_min_cllr_matches_scikit_learn(mated: list[float], non_mated: list[float]) -> None:
    expected = isotonic_cllr(np.array(mated), np.array(non_mated))
    assert min_cllr(mated, non_mated) == pytest.approx(expected, abs=1e-9)


def test_min_cllr_matches_scikit_learn_on_many() -> None:
    rng = np.random.default_rng(0)
    mated, non_mated = rng.normal(1, 1, 2000).round(2), rng.normal(-1, 1, 5000).round(2)
    expected = isotonic_cllr(mated, non_mated)
    assert min_cllr(mated, non_mated) == pytest.approx(expected, abs=1e-9)


@given(scores, scores)
def test_min_cllr_is_the_cost_of_its_own_llrs_and_lies_in_range(
    mated: list[float], non_mated: list[float]
) -> None:
    fit = pav_llr(mated, non_mated)
    assert (np.diff(fit.llrs) > 0).all()

    def read(values: list[float]) -> np.ndarray:
        return fit.llrs[np.searchsorted(fit.scores, values, "right") - 1]

    least = min_cllr(mated, non_mated)
    assert least == pytest.approx(cllr(read(mated), read(non_mated)), abs=1e-12)
    assert -1e-12 <= least <= 1 + 1e-12


@given(llrs, llrs)
def test_no_llrs_cost_less_than_their_minimum(mated: list[float], non_mated: list[float]) -> None:
    assert min_cllr(mated, non_mated) <= cllr(mated, non_mated) + 1e-9


@given(scores, scores)
def test_min_cllr_depends_on_order_alone(mated: list[float], non_mated: list[float]) -> None:
    moved = min_cllr(np.exp(3 * np.array(mated)), np.exp(3 * np.array(non_mated)))
    assert moved == min_cllr(mated, non_mated)


def test_well_calibrated_llrs_lose_little() -> None:
    rng = np.random.default_rng(1)
    # Two unit-variance normals a distance d apart have LLR d x exactly.
    mated, non_mated = 2 * rng.normal(1, 1, 20000), 2 * rng.normal(-1, 1, 20000)
    assert cllr(mated, non_mated) - min_cllr(mated, non_mated) < 0.003
    assert cllr(3 * mated, 3 * non_mated) - min_cllr(mated, non_mated) > 0.1


def test_weighted_cells_equal_repeated_pairs() -> None:
    rng = np.random.default_rng(2)
    mated, non_mated = rng.random(30).round(1), rng.random(50).round(1) - 0.3
    a, b = rng.integers(0, 4, 30), rng.integers(0, 4, 50)
    weighted = min_cllr_of(assign(mated, non_mated).count(a, b))
    repeated = min_cllr(np.repeat(mated, a), np.repeat(non_mated, b))
    assert weighted == pytest.approx(repeated, abs=1e-12)


@given(scores, scores)
def test_both_ways_of_counting_cells_agree(mated: list[float], non_mated: list[float]) -> None:
    m, n = np.array(mated), np.array(non_mated)
    a, b = tally(m, n), assign(m, n).count()
    assert a.mated.tolist() == b.mated.tolist()
    assert a.non_mated.tolist() == b.non_mated.tolist()
