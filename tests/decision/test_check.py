"""Calibrate on one simulated population, check and move the calibration on another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from visavis.decision.check import check, shape_of
from visavis.decision.labelled import Provenance, calibrate_people
from visavis.decision.pair_scores import all_pairs
from visavis.decision.profile import Calibration
from visavis.decision.transfer import photos_needed, transfer
from visavis.decision.unlabelled import estimate_non_mated
from visavis.errors import CalibrationError, ModelMismatchError, UnsupportedFmrError

pytestmark = pytest.mark.usefixtures("few_half_samples")


def _provenance(name: str, sha: str = "a" * 64) -> Provenance:
    return Provenance(name, "net", sha, "plain", "simulated", photos=1)


@pytest.fixture(scope="module")
def labelled() -> Calibration:
    from tests.decision.conftest import simulate

    x, who = simulate(np.random.default_rng(0), 500, each=2)
    return calibrate_people(x, who, _provenance("here"), center=False)


def _fmr(x: np.ndarray, threshold: float) -> float:
    return float((all_pairs(x, np.arange(len(x)), tail=1).tail >= threshold).mean())


def test_the_same_population_is_trusted(labelled, simulate) -> None:
    x, _ = simulate(np.random.default_rng(1), 300)
    result = check(x, labelled)
    assert result.trusted
    assert result.remedy == ""
    assert result.verdict.startswith("trusted")
    assert [r.claimed_fmr for r in result.rates] == [1e-2, 1e-3, 1e-4]


def test_a_closer_population_is_not_and_the_remedy_works(labelled, simulate) -> None:
    x, _ = simulate(np.random.default_rng(2), 2000, center=0.5)
    threshold = labelled.operating_point(1e-3).threshold
    truth = _fmr(x, threshold) / 1e-3
    assert truth > 3
    result = check(x[:300], labelled, folder="gate")
    row = next(r for r in result.rates if r.claimed_fmr == 1e-3)
    assert not result.trusted
    assert result.remedy.startswith("run `visavis calibrate --unlabelled gate ")
    few = check(x[:100], labelled, folder="gate").remedy
    assert few.startswith(f"add photos ({photos_needed(1e-3)} for a rate of 0.001) and run ")
    assert row.factor_interval[0] < truth < row.factor_interval[1]
    shape = shape_of(labelled, centered=True)
    moved = transfer(labelled, estimate_non_mated(x[:300], shape=shape), _provenance("gate"))
    later = moved.project(x[300:])
    assert 1 / 1.6 < _fmr(later, moved.operating_point(1e-3).threshold) / 1e-3 < 1.6
    again = check(x[300:600], moved)
    assert again.trusted
    assert again.rates[1].factor == pytest.approx(1.0, abs=0.5)


def test_a_calibration_of_two_cameras_is_checked_with_both(labelled, simulate) -> None:
    rng = np.random.default_rng(6)
    a, _ = simulate(rng, 400, center=0.5)
    b, _ = simulate(rng, 400, center=0.1)
    shape = shape_of(labelled, centered=True)
    estimate = estimate_non_mated(a[:200], b[:200], shape=shape, half_samples=4)
    moved = transfer(labelled, estimate, _provenance("door"))
    with pytest.raises(CalibrationError, match="two cameras"):
        check(a[200:], moved)
    assert check(a[200:], moved, other=b[200:]).trusted


def test_a_farther_population_is_trusted_and_called_strict(labelled, simulate) -> None:
    x, _ = simulate(np.random.default_rng(3), 300, center=0.0)
    result = check(x, labelled)
    assert result.trusted
    assert "strict" in result.verdict


def test_a_moved_calibration_says_what_it_is(labelled, simulate) -> None:
    x, _ = simulate(np.random.default_rng(4), 250, center=0.5)
    moved = transfer(labelled, estimate_non_mated(x, half_samples=8), _provenance("gate"))
    assert moved.method == "unlabelled"
    assert "factor" in moved.note
    assert min(p.target_fmr for p in moved.points) * 250 * 249 / 2 >= 10
    for point in moved.points:
        assert point.fmr_ci[0] < point.fmr < point.fmr_ci[1]
        assert np.isnan(point.fnmr)
    # The evidence moves with the thresholds: where both claim one FMR they say the same.
    about_mean = labelled.about(moved.domain)
    assert about_mean is not None
    for rate in (1e-2, 1e-3):
        here = about_mean.llr(np.array([about_mean.operating_point(rate).threshold]))[0]
        there = moved.llr(np.array([moved.operating_point(rate).threshold]))[0]
        assert there == pytest.approx(here, abs=0.25)
    scores = np.linspace(-1, 1, 200)
    assert (np.diff(moved.llr(scores)) >= 0).all()
    text = moved.to_json()
    assert Calibration.from_json(text).to_json() == text


def test_rates_that_the_photos_cannot_support_are_refused(labelled, simulate) -> None:
    x, _ = simulate(np.random.default_rng(5), 100)
    estimate = estimate_non_mated(x, half_samples=2)
    with pytest.raises(UnsupportedFmrError, match="448"):
        transfer(labelled, estimate, _provenance("gate"), targets=[1e-4])
    made = transfer(labelled, estimate, _provenance("gate"), targets=[0.0123])
    assert made.operating_point(0.0123).target_fmr == 0.0123
    assert photos_needed(1e-4) * (photos_needed(1e-4) - 1) / 2 >= 1e5


def test_another_models_reference_is_refused(labelled, simulate) -> None:
    x, _ = simulate(np.random.default_rng(5), 60)
    estimate = estimate_non_mated(x, half_samples=0)
    with pytest.raises(ModelMismatchError):
        transfer(labelled, estimate, _provenance("gate", "b" * 64))


def test_without_a_stored_shape_the_default_is_used(labelled) -> None:
    assert len(shape_of(labelled).to_numbers()) == 4
    assert shape_of(replace(labelled, reference=None)).tail.shift == 0.05
