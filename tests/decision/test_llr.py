from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from visavis.decision import llr
from visavis.decision.pair_scores import listed_pairs
from visavis.errors import CalibrationError


def _pairs(mated: np.ndarray, other: np.ndarray):
    scores = np.r_[mated, other]
    same = np.r_[np.ones(len(mated), bool), np.zeros(len(other), bool)]
    people = [(f"m{i}", f"m{i}") for i in range(len(mated))]
    people += [(f"a{i}", f"b{i}") for i in range(len(other))]
    return listed_pairs(scores, same, people)


def _cllr(mated: np.ndarray, other: np.ndarray) -> float:
    cost = np.log2(1 + np.exp(-mated)).mean() + np.log2(1 + np.exp(other)).mean()
    return float(cost / 2)


@pytest.fixture(scope="module")
def scores() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(0.5, 0.1, 800).clip(-1, 1), rng.normal(0.1, 0.1, 5000).clip(-1, 1)


def test_logistic_recovers_the_true_ratio_of_two_normals(scores) -> None:
    mated, other = scores
    fitted = llr.fit_logistic(_pairs(mated, other), bounds=(-6, 6))
    x = np.linspace(0.2, 0.4, 9)
    truth = ((x - 0.1) ** 2 - (x - 0.5) ** 2) / (2 * 0.1**2)
    np.testing.assert_allclose(fitted.llr(x), truth, atol=0.8)


def test_logistic_agrees_with_scikit_learn_on_the_raw_scores(scores) -> None:
    mated, other = scores
    weight = np.r_[np.full(len(mated), 1 / len(mated)), np.full(len(other), 1 / len(other))]
    target = np.r_[np.ones(len(mated)), np.zeros(len(other))]
    model = LogisticRegression(C=1e9, max_iter=2000, tol=1e-10)
    model.fit(np.r_[mated, other][:, None], target, sample_weight=weight * 1e3)
    fitted = llr.fit_logistic(_pairs(mated, other), bounds=(-6, 6))
    x = np.linspace(0.25, 0.35, 5)
    want = model.coef_[0, 0] * x + model.intercept_[0]
    np.testing.assert_allclose(fitted.llr(x), want, rtol=0.02, atol=0.02)


def test_isotonic_costs_what_scikit_learns_does(scores) -> None:
    mated, other = scores
    weight = np.r_[np.full(len(mated), 1 / len(mated)), np.full(len(other), 1 / len(other))]
    target = np.r_[np.ones(len(mated)), np.zeros(len(other))]
    raw = np.r_[mated, other]
    share = IsotonicRegression().fit(raw, target, sample_weight=weight).predict(raw)
    with np.errstate(divide="ignore"):
        best = np.clip(np.log(share / (1 - share)), -5, 5)
    fitted = llr.fit_isotonic(_pairs(mated, other), bounds=(-5, 5))
    ours = _cllr(fitted.llr(mated), fitted.llr(other))
    assert ours == pytest.approx(_cllr(best[: len(mated)], best[len(mated) :]), abs=0.01)
    assert ours < _cllr(10 * mated, 10 * other)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), gap=st.floats(0.05, 0.6))
def test_maps_are_monotone_and_bounded(seed, gap) -> None:
    rng = np.random.default_rng(seed)
    mated = rng.normal(0.1 + gap, 0.1, 60).clip(-1, 1)
    pairs = _pairs(mated, rng.normal(0.1, 0.1, 300).clip(-1, 1))
    bounds = llr.caps(pairs, 0.01)
    assert bounds == pytest.approx((-np.log(6), np.log(100)))
    x = np.linspace(-1, 1, 400)
    for fitted in (
        llr.fit_logistic(pairs, bounds=bounds),
        llr.fit_isotonic(pairs, bounds=bounds),
    ):
        values = fitted.llr(x)
        assert (np.diff(values) >= -1e-9).all()
        assert np.isfinite(values).all()
        assert values.min() >= bounds[0] - 1e-3
        assert values.max() <= bounds[1] + 1e-3


def test_evidence_needs_mated_pairs_that_score_higher() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(CalibrationError, match="mated"):
        llr.fit_isotonic(_pairs(np.zeros(0), rng.uniform(0, 1, 50)), bounds=(-1, 1))
    upside_down = _pairs(rng.normal(0.1, 0.1, 50), rng.normal(0.5, 0.1, 500))
    with pytest.raises(CalibrationError, match="higher"):
        llr.fit_logistic(upside_down, bounds=(-1, 1))
