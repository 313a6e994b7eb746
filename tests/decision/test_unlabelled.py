from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from visavis.decision.tail import TailShape, fit_shape, non_mated_probability
from visavis.decision.unlabelled import (
    LEVELS,
    NonMatedEstimate,
    ReferenceShape,
    estimate_non_mated,
    measure_shape,
)
from visavis.errors import CalibrationError, OptionError

PLAIN = ReferenceShape(TailShape(), TailShape())
"""Simulated templates are normal: nothing is to be learned from LFW's tails."""


def _true_fmr(estimate: NonMatedEstimate, fmr: float, x: np.ndarray, who: np.ndarray) -> float:
    """Measured on everybody's photos about the mean of the estimate."""
    if estimate.domain is not None:
        x = x - estimate.domain.mean
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    other = who[:, None] != who[None, :]
    return float(((x @ x.T >= estimate.threshold(fmr)) & other).sum() / other.sum())


@pytest.mark.parametrize("center", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("group", [0.0, 0.5])
@pytest.mark.parametrize("centered", [True, False])
def test_thresholds_hold_on_the_rest_of_the_population(simulate, center, group, centered) -> None:
    rng = np.random.default_rng(7)
    x, who = simulate(rng, 2000, center=center, group=group)
    factors = []
    for _ in range(5):
        sample = rng.choice(len(x), 200, replace=False)
        estimate = estimate_non_mated(x[sample], center=centered, shape=PLAIN, half_samples=0)
        factors.append([_true_fmr(estimate, claim, x, who) / claim for claim in (1e-2, 1e-3)])
    for factor in np.median(factors, axis=0):
        assert 1 / 1.5 < factor < 1.5


def test_children_are_not_one_person(simulate) -> None:
    rng = np.random.default_rng(9)
    x, who = simulate(rng, 2000, group=0.7)
    sample = rng.choice(len(x), 200, replace=False)
    estimate = estimate_non_mated(x[sample], shape=PLAIN, half_samples=0)
    assert estimate.photos == 200
    assert estimate.mated_pairs < 20
    assert _true_fmr(estimate, 1e-3, x, who) / 1e-3 < 1.6


def test_two_cameras_are_centered_each_on_its_own_mean(simulate) -> None:
    rng = np.random.default_rng(12)
    a, _ = simulate(rng, 1500, center=0.3)
    b, _ = simulate(rng, 1500, center=0.0)
    b[:, 5] += 0.6
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    estimate = estimate_non_mated(a[:200], b[200:400], shape=PLAIN, half_samples=4)
    assert estimate.pairs == 200 * 200
    assert estimate.domain is not None
    assert estimate.domain.mean_b is not None
    assert estimate.domain.mean_b[5] > 0.3 > estimate.domain.mean[5]
    later_a = estimate.domain.apply(a[400:], side="a")
    later_b = estimate.domain.apply(b[400:], side="b")
    scores = later_a @ later_b.T
    for rate in (1e-2, 1e-3):
        measured = float((scores >= estimate.threshold(rate)).mean())
        assert 1 / 1.6 < measured / rate < 1.6


def test_mates_among_the_photos_hardly_move_the_threshold(simulate) -> None:
    rng = np.random.default_rng(3)
    x, who = simulate(rng, 400, each=4)
    alone = estimate_non_mated(x[::4][:200], shape=PLAIN, half_samples=0)
    # 200 photos of 50 people: each photo has three mates, 1.5 % of all pairs are mated.
    crowded = estimate_non_mated(x[:200], shape=PLAIN, half_samples=0)
    assert crowded.mated_pairs == pytest.approx(300, rel=0.1)
    assert alone.mated_pairs < 5
    for estimate in (alone, crowded):
        assert 1 / 1.6 < _true_fmr(estimate, 1e-3, x, who) / 1e-3 < 1.6


@pytest.mark.parametrize("photos", [18, 40, 60])
def test_one_person_may_own_many_of_the_photos(simulate, photos) -> None:
    rng = np.random.default_rng(4)
    x, who = simulate(rng, 1500)
    own, _ = simulate(rng, 1, each=photos)
    sample = np.concatenate([x[: 200 - photos], own])
    estimate = estimate_non_mated(sample, shape=PLAIN, half_samples=0)
    # A twentieth of the photos are kept of one person: ten make 45 pairs.
    assert estimate.mated_pairs == pytest.approx(45, rel=0.15)
    assert estimate.photos == 200 - photos + 10
    assert 1 / 1.6 < _true_fmr(estimate, 1e-3, x, who) / 1e-3 < 1.6


def test_repeated_photos_do_not_count_as_strangers(simulate) -> None:
    x, who = simulate(np.random.default_rng(5), 1000)
    factors = []
    for start in range(0, 750, 150):
        sample = np.concatenate([x[start : start + 150], x[start : start + 50]])
        estimate = estimate_non_mated(sample, shape=PLAIN, half_samples=0)
        assert estimate.mated_pairs == pytest.approx(50, abs=5)
        later = np.ones(len(x), bool)
        later[start : start + 150] = False
        factors.append(_true_fmr(estimate, 1e-3, x[later], who[later]) / 1e-3)
    assert 1 / 1.5 < np.median(factors) < 1.5


def test_intervals_hold(simulate) -> None:
    rng = np.random.default_rng(11)
    x, who = simulate(rng, 1500, group=0.4)
    held = 0
    for _ in range(12):
        sample = rng.choice(len(x), 120, replace=False)
        estimate = estimate_non_mated(x[sample], shape=PLAIN, half_samples=6)
        threshold = float(estimate.threshold(1e-2))
        low, high = estimate.fmr_interval(threshold)
        assert low < 1e-2 < high
        held += low <= _true_fmr(estimate, 1e-2, x, who) <= high
    assert held >= 10


def test_rates_and_thresholds_are_inverse_and_monotone(simulate) -> None:
    x, _ = simulate(np.random.default_rng(6), 120)
    estimate = estimate_non_mated(x, half_samples=4)
    rates = norm.sf(LEVELS[:8])
    thresholds = estimate.threshold(rates)
    assert (np.diff(thresholds) > 0).all()
    np.testing.assert_allclose(estimate.fmr(thresholds), rates, rtol=1e-6)
    assert (estimate.sampling_sd > 0).all()
    again = estimate_non_mated(x, half_samples=4)
    np.testing.assert_array_equal(again.threshold(rates), thresholds)


def test_a_tail_that_departs_from_the_model_is_learned() -> None:
    rng = np.random.default_rng(0)
    truth = TailShape(0.1, 0.08)
    deviates = truth.model_deviate(rng.standard_normal(200_000))
    found = fit_shape(deviates, prior=TailShape())
    assert found.shift == pytest.approx(truth.shift, abs=0.02)
    assert found.slope == pytest.approx(truth.slope, abs=0.03)
    x = np.linspace(-3, 6, 19)
    np.testing.assert_allclose(truth.true_deviate(truth.model_deviate(x)), x, atol=1e-12)


def test_mates_are_told_from_strangers() -> None:
    rng = np.random.default_rng(1)
    non_mated, mates = rng.standard_normal(20_000), rng.normal(5.0, 1.2, 250)
    probability = non_mated_probability(np.r_[non_mated, mates], prior=TailShape())
    assert (1 - probability).sum() == pytest.approx(250, rel=0.1)
    assert probability[:20_000].mean() > 0.998
    order = np.argsort(np.r_[non_mated, mates])
    assert (np.diff(probability[order]) <= 0).all()


def test_where_there_are_no_mates_none_are_found() -> None:
    surprise = np.random.default_rng(2).standard_normal(20_000)
    probability = non_mated_probability(surprise, prior=TailShape())
    assert (1 - probability).sum() < 5


def test_the_shape_of_normal_templates_is_none(simulate) -> None:
    x, who = simulate(np.random.default_rng(8), 400, each=2)
    shape = measure_shape(x, who)
    assert np.abs(shape.to_numbers()).max() < 0.08
    assert ReferenceShape.from_numbers(shape.to_numbers()) == shape
    assert measure_shape(x[:40], who[:40]) == ReferenceShape()


def test_unusable_input_is_refused(simulate) -> None:
    x, _ = simulate(np.random.default_rng(0), 60)
    with pytest.raises(CalibrationError, match="at least 50"):
        estimate_non_mated(x[:49])
    with pytest.raises(OptionError, match="unit length"):
        estimate_non_mated(x * 2)
    with pytest.raises(OptionError):
        estimate_non_mated(x[0])
