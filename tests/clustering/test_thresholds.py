"""From a false-merge rate to scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from visavis.clustering.thresholds import FmrCurve, fmr_curve_of
from visavis.errors import OptionError
from visavis.types import OperatingPoint

SCORES = (0.2, 0.3, 0.4, 0.5, 0.6)
RATES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-6)


def test_scores_between_two_are_log_linear() -> None:
    curve = FmrCurve(SCORES, RATES)
    assert curve.score(1e-3) == pytest.approx(0.4)
    assert curve.score(10**-2.5) == pytest.approx(0.35)
    assert curve.score(1e-5) == pytest.approx(0.55)


def test_nothing_is_extrapolated() -> None:
    curve = FmrCurve(SCORES, RATES)
    assert curve.score(0.5) == 0.2
    assert curve.score(1e-12) == 0.6
    assert curve.rate(0.9) == pytest.approx(1e-6)
    assert curve.rate(-0.5) == pytest.approx(1e-1)


@given(st.floats(0.2, 0.6))
def test_rate_is_the_inverse_of_score(score: float) -> None:
    curve = FmrCurve(SCORES, RATES)
    assert curve.score(curve.rate(score)) == pytest.approx(score)


def test_a_hundred_times_the_people_is_a_hundredth_of_the_rate() -> None:
    curve = FmrCurve(SCORES, RATES)
    # 7 x 0.01 / 700 and / 70,000
    assert curve.for_faces(700, false_merge_rate=0.01) == pytest.approx(0.5)
    assert curve.for_faces(70_000, false_merge_rate=0.01) == pytest.approx(0.6)
    assert curve.for_faces(70_000, false_merge_rate=0.1) == pytest.approx(0.55)


@given(st.integers(1, 10**7), st.floats(1e-4, 0.5))
def test_thresholds_follow_the_collection(clusters: int, rate: float) -> None:
    curve = FmrCurve(SCORES, RATES)
    faces = curve.for_faces(clusters, false_merge_rate=rate)
    assert curve.for_faces(2 * clusters, false_merge_rate=rate) >= faces
    assert curve.for_faces(clusters, false_merge_rate=rate / 2) >= faces
    # Never looser than FMR 1e-3; clusters never need more than FMR 1e-4 of their mean score.
    assert faces >= 0.4
    assert curve.for_clusters(faces) == min(faces, curve.score(1e-4))


def test_the_median_of_normal_scores_is_found() -> None:
    scores = np.linspace(0.2, 0.5, 20)
    curve = FmrCurve(tuple(scores), tuple(ndtr(-(scores - 0.07) / 0.1)))
    assert curve.center == pytest.approx(0.07, abs=1e-9)
    assert FmrCurve(SCORES, RATES, typical=0.05).center == 0.05


def test_equal_scores_are_allowed() -> None:
    curve = FmrCurve((0.3, 0.3, 0.4), (1e-2, 1e-3, 1e-4))
    assert curve.score(1e-4) == pytest.approx(0.4)


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
        FmrCurve(scores, rates)


def test_a_typical_score_above_all_thresholds_is_refused() -> None:
    with pytest.raises(OptionError, match="typical"):
        FmrCurve(SCORES, RATES, typical=0.7)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan")])
def test_other_rates_are_refused(rate: float) -> None:
    with pytest.raises(OptionError, match="false-merge"):
        FmrCurve(SCORES, RATES).for_faces(10, false_merge_rate=rate)


class TestExcess:
    @staticmethod
    def faces(common: float) -> tuple[np.ndarray, np.ndarray]:
        """Two faces of 400 people; strangers' scores are spread around ``common``."""
        rng = np.random.default_rng(0)
        rows = np.repeat(rng.standard_normal((400, 128)) / np.sqrt(128), 2, axis=0)
        rows = rows * np.sqrt(1 - common)
        rows[:, 0] += np.sqrt(common)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows.astype(np.float32), np.repeat(np.arange(400), 2)

    def calibration(self) -> FmrCurve:
        scores = np.linspace(0.05, 0.5, 40)
        return FmrCurve(tuple(scores), tuple(ndtr(-scores * np.sqrt(128))))

    def test_people_as_in_the_calibration(self) -> None:
        assert self.calibration().excess(*self.faces(0.0)) < 0.01

    def test_people_who_are_more_alike(self) -> None:
        vectors, who = self.faces(0.1)
        product = vectors @ vectors.T
        others = product[who[:, None] != who]
        want = np.quantile(others, 0.9) - self.calibration().score(0.1)
        assert want > 0.05
        assert self.calibration().excess(vectors, who) == pytest.approx(want, abs=0.005)

    def test_nothing_is_said_of_few_clusters_or_by_a_calibration_of_low_rates(self) -> None:
        vectors, who = self.faces(0.1)
        assert self.calibration().excess(vectors, who % 10) == 0
        assert FmrCurve((0.3, 0.4), (1e-3, 1e-4)).excess(vectors, who) == 0


def test_of_a_calibration() -> None:
    points = [
        OperatingPoint("m", "0" * 64, t, fmr, (0, 1), 0.1, "d", 1000, target_fmr=fmr)
        for t, fmr in ((0.4, 1e-3), (0.2, 1e-1), (0.3, 1e-2))
    ]
    found = fmr_curve_of(points)
    assert found.thresholds == (0.2, 0.3, 0.4)
    assert found.fmr == (1e-1, 1e-2, 1e-3)
    reference = {"quantiles": (0.0, 0.5, 1.0), "non_mated": (-0.2, 0.07, 0.5)}
    assert fmr_curve_of(points, reference).typical == pytest.approx(0.07)
