"""Error rates against double loops, scikit-learn, and what must hold for any scores."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from visavis.errors import OptionError, UnsupportedFmrError
from visavis.metrics.verification import (
    det_points,
    eer,
    error_rates,
    fmr_name,
    fnmr_at_fmr,
    roc_auc,
    supported_fmrs,
    threshold_at_fmr,
)

# Few distinct values, so that ties within and between the kinds abound.
tied = st.lists(st.integers(-8, 8).map(lambda k: k / 8), min_size=1, max_size=40)
wide = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=40)
some = st.one_of(tied, wide)


def simulated(seed: int, mated: int = 400, non_mated: int = 900) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping scores rounded to two digits, so with ties."""
    rng = np.random.default_rng(seed)
    return rng.normal(0.4, 0.2, mated).round(2), rng.normal(0.1, 0.2, non_mated).round(2)


@given(some, some)
def test_error_rates_match_a_double_loop(mated: list[float], non_mated: list[float]) -> None:
    rates = error_rates(mated, non_mated)
    expected = [*sorted({*mated, *non_mated}), float("inf")]
    assert rates.thresholds.tolist() == expected
    for t, fmr, fnmr in zip(expected, rates.fmr, rates.fnmr, strict=True):
        assert fmr == sum(n >= t for n in non_mated) / len(non_mated)
        assert fnmr == sum(m < t for m in mated) / len(mated)


@given(some, some)
def test_error_rates_are_monotone_and_end_at_the_corners(
    mated: list[float], non_mated: list[float]
) -> None:
    rates = error_rates(mated, non_mated)
    assert (np.diff(rates.thresholds) > 0).all()
    assert (np.diff(rates.fmr) <= 0).all()
    assert (np.diff(rates.fnmr) >= 0).all()
    assert (rates.fmr[0], rates.fnmr[0], rates.fmr[-1], rates.fnmr[-1]) == (1, 0, 0, 1)


def test_error_rates_match_scikit_learn() -> None:
    mated, non_mated = simulated(1)
    labels = np.r_[np.ones(len(mated)), np.zeros(len(non_mated))]
    fpr, tpr, thresholds = roc_curve(labels, np.r_[mated, non_mated], drop_intermediate=False)
    rates = error_rates(mated, non_mated)
    np.testing.assert_array_equal(rates.thresholds[::-1], thresholds)
    np.testing.assert_array_equal(rates.fmr[::-1], fpr)
    np.testing.assert_allclose(1 - rates.fnmr[::-1], tpr, rtol=0, atol=1e-15)


def test_error_rates_keep_float32() -> None:
    mated, non_mated = (a.astype(np.float32) for a in simulated(2))
    assert error_rates(mated, non_mated).thresholds.dtype == np.float32


@given(some, some)
def test_auc_matches_the_double_loop(mated: list[float], non_mated: list[float]) -> None:
    wins = sum((m > n) + 0.5 * (m == n) for m in mated for n in non_mated)
    assert roc_auc(mated, non_mated) == wins / (len(mated) * len(non_mated))


@pytest.mark.parametrize("seed", range(3))
def test_auc_matches_scikit_learn(seed: int) -> None:
    mated, non_mated = simulated(seed)
    labels = np.r_[np.ones(len(mated)), np.zeros(len(non_mated))]
    expected = roc_auc_score(labels, np.r_[mated, non_mated])
    assert roc_auc(mated, non_mated) == pytest.approx(expected, abs=1e-14)


def polyline_eer(mated: list[float], non_mated: list[float]) -> float:
    """EER by walking the observed operating points one by one."""
    points = []
    for t in [*sorted({*mated, *non_mated}), float("inf")]:
        fmr = sum(n >= t for n in non_mated) / len(non_mated)
        points.append((fmr, sum(m < t for m in mated) / len(mated)))
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x1 <= y1:
            # The crossing of the segment with x = y.
            return x0 + (x0 - y0) / ((x0 - y0) + (y1 - x1)) * (x1 - x0)
    raise AssertionError


@given(some, some)
def test_eer_is_where_the_polyline_crosses(mated: list[float], non_mated: list[float]) -> None:
    assert eer(mated, non_mated) == pytest.approx(polyline_eer(mated, non_mated), abs=1e-12)


def test_eer_matches_interpolation_of_scikit_learns_curve() -> None:
    mated, non_mated = simulated(3)
    labels = np.r_[np.ones(len(mated)), np.zeros(len(non_mated))]
    fpr, tpr, _ = roc_curve(labels, np.r_[mated, non_mated], drop_intermediate=False)
    # d = FMR - FNMR rises along the curve: interpolate FMR where it is zero.
    expected = np.interp(0.0, fpr - (1 - tpr), fpr)
    assert eer(mated, non_mated) == pytest.approx(expected, abs=1e-12)


@given(some, some, st.integers(1, 99))
def test_fnmr_at_fmr_is_the_best_observed(
    mated: list[float], non_mated: list[float], percent: int
) -> None:
    fmr = percent / 100
    candidates = [*{*mated, *non_mated}, float("inf")]
    allowed = [t for t in candidates if sum(n >= t for n in non_mated) / len(non_mated) <= fmr]
    if fmr < 1 / len(non_mated):
        with pytest.raises(UnsupportedFmrError):
            fnmr_at_fmr(mated, non_mated, fmr)
        return
    expected = min(sum(m < t for m in mated) / len(mated) for t in allowed)
    assert fnmr_at_fmr(mated, non_mated, fmr) == expected
    threshold = threshold_at_fmr(mated, non_mated, fmr)
    assert threshold == min(allowed)
    assert sum(m < threshold for m in mated) / len(mated) == expected


def test_fnmr_at_fmr_counts_what_floating_point_would_lose() -> None:
    # 0.29 * 100 is 28.999999999999996 and 0.07 * 100 is 7.000000000000001.
    non_mated = np.arange(100) / 100
    assert threshold_at_fmr([], non_mated, 0.29) == 0.71
    assert threshold_at_fmr([], non_mated, 0.07) == 0.93
    assert threshold_at_fmr([], non_mated, np.nextafter(0.07, 0)) == 0.94


def test_mixed_precision_compares_exactly() -> None:
    non_mated = np.array([0.1, 0.3])  # float64; 0.3 as float32 is larger than 0.3
    mated = np.array([0.3], dtype=np.float32)
    assert fnmr_at_fmr(mated, np.array([0.1, 0.3, 0.3]), 0.4) == 0.0
    assert error_rates(mated, non_mated).thresholds.tolist() == [0.1, 0.3, float(mated[0]), np.inf]


def test_ties_at_the_top_leave_no_threshold() -> None:
    assert threshold_at_fmr([0.2], [0.5, 0.5, 0.5], 0.4) == float("inf")
    assert fnmr_at_fmr([0.2], [0.5, 0.5, 0.5], 0.4) == 1.0


def test_an_unsupported_fmr_names_the_pairs_and_the_remedy() -> None:
    with pytest.raises(UnsupportedFmrError, match=r"1e-06.*3,000.*1,000,000"):
        fnmr_at_fmr([0.5], np.zeros(3000), 1e-6)
    assert fnmr_at_fmr([0.5], np.zeros(1000), 1e-3) == 0.0  # 1 of 1000 is just enough


@pytest.mark.parametrize("fmr", [0.0, 1.0, -1e-3, float("nan")])
def test_an_impossible_fmr_is_refused(fmr: float) -> None:
    with pytest.raises(OptionError, match=r"in \(0, 1\)"):
        fnmr_at_fmr([0.5], [0.1], fmr)


def test_supported_fmrs() -> None:
    assert supported_fmrs(9) == ()
    assert supported_fmrs(10) == (0.1,)
    assert supported_fmrs(3000) == (1e-1, 1e-2, 1e-3)
    assert supported_fmrs(10**6)[-1] == 1e-6
    scores = np.arange(1000.0)
    for fmr in supported_fmrs(1000):
        assert 0 <= fnmr_at_fmr([5.0], scores, fmr) <= 1


@given(st.integers(1, 9), st.integers(1, 12))
def test_fmr_names_read_back(digit: int, exponent: int) -> None:
    name = f"{digit}e-{exponent}"
    assert fmr_name(float(name)) == name


@given(some, some)
def test_det_points_are_the_corners(mated: list[float], non_mated: list[float]) -> None:
    rates = error_rates(mated, non_mated)
    fmr, fnmr = det_points(mated, non_mated)
    assert (fmr[0], fnmr[0], fmr[-1], fnmr[-1]) == (1, 0, 0, 1)
    observed = set(zip(rates.fmr.tolist(), rates.fnmr.tolist(), strict=True))
    corners = list(zip(fmr.tolist(), fnmr.tolist(), strict=True))
    # Every observed point lies on the polyline of the corners, and every corner that is not on an
    # axis-parallel line between its neighbors was observed.
    for x, y in observed:
        assert any(_on_segment((x, y), p, q) for p, q in itertools.pairwise(corners))
    for p, q, r in zip(corners, corners[1:], corners[2:], strict=False):
        assert p != q
        assert not (p[0] == q[0] == r[0])
        assert not (p[1] == q[1] == r[1])


def _on_segment(
    point: tuple[float, float], start: tuple[float, float], end: tuple[float, float]
) -> bool:
    (x, y), (x0, y0), (x1, y1) = point, start, end
    cross = (x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)
    within = min(x0, x1) <= x <= max(x0, x1) and min(y0, y1) <= y <= max(y0, y1)
    return within and abs(cross) < 1e-12


@given(some, some, st.randoms(use_true_random=False))
def test_order_of_pairs_does_not_matter(mated: list[float], non_mated: list[float], rnd) -> None:
    shuffled, others = list(mated), list(non_mated)
    rnd.shuffle(shuffled)
    rnd.shuffle(others)
    assert roc_auc(mated, non_mated) == roc_auc(shuffled, others)
    assert eer(mated, non_mated) == eer(shuffled, others)
    a, b = error_rates(mated, non_mated), error_rates(shuffled, others)
    np.testing.assert_array_equal(a.fmr, b.fmr)
    np.testing.assert_array_equal(a.fnmr, b.fnmr)


@given(tied, tied)
def test_a_strictly_increasing_transform_changes_nothing(
    mated: list[float], non_mated: list[float]
) -> None:
    m, n = np.exp(3 * np.array(mated)), np.exp(3 * np.array(non_mated))
    assert roc_auc(m, n) == roc_auc(mated, non_mated)
    assert eer(m, n) == eer(mated, non_mated)
    np.testing.assert_array_equal(error_rates(m, n).fmr, error_rates(mated, non_mated).fmr)
    for fmr in (0.1, 0.5):
        if fmr * len(n) >= 1:
            assert fnmr_at_fmr(m, n, fmr) == fnmr_at_fmr(mated, non_mated, fmr)


@pytest.mark.parametrize("function", [error_rates, roc_auc, eer, det_points])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_refused(function, bad: float) -> None:
    with pytest.raises(OptionError, match="1 of 2 mated"):
        function([0.5, bad], [0.1])
    with pytest.raises(OptionError, match="1 of 3 non-mated"):
        function([0.5], [0.1, bad, 0.3])


@pytest.mark.parametrize(
    ("mated", "non_mated", "message"),
    [
        ([], [0.1], "no mated scores"),
        ([0.1], [], "no non-mated scores"),
        ([[0.1]], [0.2], "shape"),
        (["a"], [0.2], "type"),
        ([0.1 + 2j], [0.2], "type"),
    ],
)
def test_what_is_not_a_list_of_scores_is_refused(mated, non_mated, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        roc_auc(mated, non_mated)


def test_integers_and_half_precision_are_taken() -> None:
    assert roc_auc([2, 3], [0, 1]) == 1.0
    assert roc_auc(np.array([0.5], np.float16), np.array([0.25], np.float16)) == 1.0


def test_inputs_are_not_changed() -> None:
    mated, non_mated = simulated(4)
    kept = mated.copy(), non_mated.copy()
    error_rates(mated, non_mated)
    eer(mated, non_mated)
    fnmr_at_fmr(mated, non_mated, 0.1)
    np.testing.assert_array_equal(mated, kept[0])
    np.testing.assert_array_equal(non_mated, kept[1])


def test_the_smallest_rate_above_zero_is_refused_as_others_are() -> None:
    with pytest.raises(UnsupportedFmrError):
        threshold_at_fmr([0.9], [0.1, 0.2], 5e-324)
