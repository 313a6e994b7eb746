"""People's own rates: against loops, and against galleries of simulated people."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.decision.fpir_model import FpirModel
from visavis.decision.non_mated_model import STEP, NonMatedModel, measure_non_mated
from visavis.errors import DataError


def test_rates_of_people_with_one_photo_agree_with_a_loop(simulate) -> None:
    x, who = simulate(np.random.default_rng(1), 60)
    found = measure_non_mated(x, who, draws=2)
    scores = (x.astype(np.float64) @ x.T.astype(np.float64)).clip(-1, 1)
    every = [(i, j) for i in range(60) for j in range(60) if i != j]
    assert found.people == 60
    for k in range(0, len(found.scores), 7):
        t = found.scores[k]
        # A score beside the edge of a bin may be rounded either way.
        least = np.mean([scores[i, j] >= t + 0.02 * STEP for i, j in every])
        most = np.mean([scores[i, j] >= t - 0.02 * STEP for i, j in every])
        assert least - 1e-12 <= found.fmr[k] <= most + 1e-12


def test_a_person_with_many_photos_counts_once(simulate) -> None:
    # Two look-alikes among strangers; one of them has a hundred photos.
    x, _ = simulate(np.random.default_rng(2), 80, center=0.0)
    twin = x[:1] + 0.05 * x[1:2]
    twin /= np.linalg.norm(twin)
    vectors = np.concatenate([x, np.repeat(twin, 100, axis=0)])
    people = np.concatenate([np.arange(80), np.full(100, 80)])
    found = measure_non_mated(vectors, people)
    rate = float(np.exp(found.log_fmr(0.9)))
    assert rate == pytest.approx(1 / (81 * 80 / 2), rel=1e-6)


def test_spread_is_that_of_the_rates_that_were_put_in() -> None:
    # People k and m match at 0.5 with probability w[k] w[m], so k's own rate is w[k] mean(w).
    rng = np.random.default_rng(3)
    count = 1500
    weights = np.sqrt(rng.gamma(2.0, 0.02, count))
    upper = np.triu(rng.random((count, count)) < weights[:, None] * weights[None, :], 1)
    scores = np.where(upper | upper.T, 0.5, 0.1).astype(np.float32)

    class Scores:
        def matrix(self, photos: np.ndarray) -> np.ndarray:
            return scores[np.ix_(photos, photos)]

    found = measure_non_mated(
        np.zeros((count, 2), np.float32), np.arange(count), draws=1, cross_fit=Scores()
    )
    truth = weights.var() / weights.mean() ** 2
    assert float(found.spread_at(0.4)) == pytest.approx(truth, abs=0.05)
    assert float(np.exp(found.log_fmr(0.4))) == pytest.approx(weights.mean() ** 2, rel=0.05)


@pytest.mark.parametrize("size", [5, 40, 300])
def test_a_gallerys_rate_is_that_of_random_galleries(simulate, size) -> None:
    rng = np.random.default_rng(4)
    x, who = simulate(rng, 2000, dimension=24, group=0.15)
    fpir_model = FpirModel(measure_non_mated(x[:1200], who[:1200], draws=1), size)
    other = x[1200:]
    seen = []
    for _ in range(60 if size > 5 else 400):
        order = rng.permutation(len(other))
        gallery, non_mated = other[order[:size]], other[order[size:]]
        seen.append((non_mated @ gallery.T).max(axis=1))
    for rate in (0.3, 0.1, 0.02):
        threshold = fpir_model.threshold(rate)
        measured = np.mean([np.mean(one >= threshold) for one in seen])
        # Both halves are samples: of 1,200 and of 800 people.
        assert measured == pytest.approx(rate, rel=0.12 if rate > 0.05 else 0.25)


def test_it_travels_in_a_calibration(simulate) -> None:
    x, who = simulate(np.random.default_rng(5), 100, each=2)
    found = measure_non_mated(x, who)
    back = NonMatedModel.from_reference(found.to_reference())
    assert back is not None
    assert back.people == 100
    assert back.fmr == pytest.approx(found.fmr, rel=1e-3)
    assert back.scores == pytest.approx(found.scores, abs=1e-5)
    assert NonMatedModel.from_reference({"quantiles": (0.1,)}) is None
    assert NonMatedModel.from_reference(None) is None


def test_variance_is_that_of_other_people(simulate) -> None:
    rng = np.random.default_rng(6)
    x, who = simulate(rng, 12_000, dimension=24)
    parts = [measure_non_mated(x[k::40], who[k::40], draws=1) for k in range(40)]
    for score in (0.4, 0.6):
        logs = [float(part.log_fmr(score)) for part in parts]
        claimed = np.mean([part.variance(score) for part in parts])
        assert np.var(logs, ddof=1) == pytest.approx(claimed, rel=0.6)


def test_too_little_is_refused() -> None:
    with pytest.raises(DataError, match="two people"):
        measure_non_mated(np.ones((3, 1), np.float32), np.zeros(3, np.int64))
    with pytest.raises(DataError, match="row"):
        measure_non_mated(np.ones((3, 1), np.float32), np.zeros(2, np.int64))
