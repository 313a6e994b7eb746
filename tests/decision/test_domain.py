"""Means, whitenings and cross-fitting, each against a plain loop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from visavis.decision.cohort import SHRINKAGE, Cohort
from visavis.decision.cross_fit import CrossFit
from visavis.decision.domain import Domain, people_mean
from visavis.decision.fpir_model import as_non_mated
from visavis.decision.labelled import Provenance, calibrate_pairs, calibrate_people
from visavis.decision.non_mated_model import measure_non_mated
from visavis.decision.pair_scores import all_pairs
from visavis.decision.profile import Calibration
from visavis.decision.whitening import TRIED, choose_shrinkage, fit_domain
from visavis.errors import OptionError

HERE = Provenance("here", "net", "a" * 64, "plain", "simulated", photos=1)


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _cos(a: np.ndarray, b: np.ndarray) -> float:
    return float(_unit(a) @ _unit(b))


def _templates(seed: int, count: int, size: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return _unit(rng.normal(size=(count, size)) + 0.7).astype(np.float32)


def _session_noise(seed: int, people: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Templates whose photos of one person differ mostly in four of 32 directions."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), each)
    x = rng.standard_normal((people, 32))[who] + 0.4 * rng.standard_normal((len(who), 32))
    x[:, :4] += 2.5 * rng.standard_normal((len(who), 4))
    return _unit(x + 1.0).astype(np.float32), who


def test_a_domain_subtracts_its_mean_and_whitens() -> None:
    x = _templates(0, 9)
    mean, map_ = _templates(1, 1)[0] * 0.3, np.diag([1, 2, 1, 1, 0.5, 1]).astype(np.float32)
    domain = Domain(mean, 9, 9, mean_b=-mean, photos_b=9, people_b=9, whitening=map_)
    np.testing.assert_allclose(domain.apply(x), _unit((x - mean) @ map_), atol=1e-6)
    np.testing.assert_allclose(domain.apply(x, side="b"), _unit((x + mean) @ map_), atol=1e-6)
    # One camera: both sides are the same.
    one = Domain(mean, 9, 9)
    np.testing.assert_array_equal(one.apply(x, side="b"), one.apply(x))
    np.testing.assert_array_equal(one.apply(x)[3:4], one.apply(x[3:4]))


def test_a_template_that_is_the_mean_stays_finite() -> None:
    x = _templates(2, 3)
    assert np.isfinite(Domain(x[1], 1, 1).apply(x)).all()


@pytest.mark.parametrize(
    "wrong", [{"mean": np.full(6, np.nan)}, {"mean_b": np.zeros(5)}, {"whitening": np.eye(5)}]
)
def test_a_domain_that_does_not_fit_is_refused(wrong) -> None:
    good = {"mean": np.zeros(6), "photos": 1, "people": 1}
    with pytest.raises(OptionError):
        Domain(**(good | wrong))
    with pytest.raises(OptionError, match="shape"):
        Domain(**good).apply(_templates(0, 2, 5))


def test_each_person_counts_once_in_a_mean() -> None:
    x, who = _templates(3, 7), np.array([4, 4, 4, 4, 9, 9, 1])
    expected = np.mean([x[who == person].mean(axis=0) for person in (1, 4, 9)], axis=0)
    np.testing.assert_allclose(people_mean(x, who), expected, atol=1e-6)
    np.testing.assert_allclose(fit_domain(x, who).mean, expected * 3 / (3 + SHRINKAGE), atol=1e-6)


def test_a_pair_is_scored_about_the_mean_of_the_others() -> None:
    x = _templates(4, 8)
    centered, domain = Cohort.plain(x).centered([np.zeros(28)])
    for i, j in ((0, 1), (5, 2)):
        mean = np.delete(x, [i, j], axis=0).sum(axis=0) / (6 + SHRINKAGE)
        assert centered.scores[i, j] == pytest.approx(_cos(x[i] - mean, x[j] - mean), abs=1e-6)
    assert (domain.photos, domain.people) == (8, 8)
    np.testing.assert_allclose(domain.mean, x.sum(axis=0) / (8 + SHRINKAGE), atol=1e-6)


def test_mates_weigh_once_and_leave_together() -> None:
    x = _templates(5, 8)
    first, second = np.triu_indices(8, 1)
    mates = ((first == 0) & (second == 3)).astype(float)
    centered, domain = Cohort.plain(x).centered([mates])
    weight = np.ones(8)
    weight[[0, 3]] = 0.5
    without = weight.copy()
    without[[0, 3, 6]] = 0
    mean = without @ x / (without.sum() + SHRINKAGE)
    assert centered.scores[0, 6] == pytest.approx(_cos(x[0] - mean, x[6] - mean), abs=1e-6)
    assert domain.people == 7


def test_two_sides_leave_each_photo_out_of_its_own_mean() -> None:
    a, b = _templates(6, 8), _templates(7, 8)
    centered, domain = Cohort.plain(a, b).centered([np.zeros(28)] * 2)
    mean_a = np.delete(a, 2, axis=0).sum(axis=0) / (7 + SHRINKAGE)
    mean_b = np.delete(b, 5, axis=0).sum(axis=0) / (7 + SHRINKAGE)
    expected = _cos(a[2] - mean_a, b[5] - mean_b)
    assert centered.scores[2, 8 + 5] == pytest.approx(expected, abs=1e-6)
    assert len(centered.pair_scores()) == 64
    assert domain.mean_b is not None
    np.testing.assert_allclose(domain.mean_b, b.sum(axis=0) / (8 + SHRINKAGE), atol=1e-6)


def test_cross_fit_scores_are_about_other_people() -> None:
    x, who = _templates(8, 30), np.repeat(np.arange(10), 3)
    seen: list[set[int]] = []

    def fit(vectors: np.ndarray, owners: np.ndarray) -> Domain:
        seen.append(set(owners.tolist()))
        return fit_domain(vectors, owners)

    cross = CrossFit(x, who, fit)
    rows = np.array([0, 4, 29])
    matrix = cross.matrix(rows)
    others = (who != who[0]) & (who != who[29])
    domain = fit_domain(x[others], who[others])
    expected = _cos(x[0] - domain.mean, x[29] - domain.mean)
    assert matrix[0, 2] == pytest.approx(expected, abs=1e-5)
    assert matrix[2, 0] == matrix[0, 2]
    assert {0, 9} not in [people & {0, 9} for people in seen if len(people) == 8]
    pair = cross.pairs(np.array([0, 4]), np.array([29, 0]))
    np.testing.assert_allclose(pair, [matrix[0, 2], matrix[1, 0]], atol=1e-6)
    whole = all_pairs(x, who, tail=1, cross_fit=cross)
    every = cross.matrix(np.arange(30))
    i, j = np.triu_indices(30, 1)
    mated = who[i] == who[j]
    np.testing.assert_allclose(whole.mated, np.sort(every[i, j][mated]), atol=1e-6)
    np.testing.assert_allclose(whole.tail, -np.sort(-every[i, j][~mated]), atol=1e-6)


def test_people_are_measured_about_the_mean_of_others() -> None:
    rng = np.random.default_rng(10)
    x, who = _templates(9, 200, 16), np.repeat(np.arange(100), 2)
    cross = CrossFit(x, who, fit_domain)
    found = measure_non_mated(x, who, draws=3, seed=4, cross_fit=cross)
    rng = np.random.default_rng(4)
    scores = []
    for _ in range(3):
        order = rng.permutation(200)
        one = order[np.unique(who[order], return_index=True)[1]]
        scores.append(cross.matrix(one)[np.triu_indices(100, 1)])
    rate = float((np.concatenate(scores) >= found.scores[40]).mean())
    assert found.fmr[40] == pytest.approx(rate, rel=0.02)


def test_a_whitening_is_kept_where_it_helps_people_who_had_no_part_in_it() -> None:
    x, who = _session_noise(0, 120, 5)
    chosen = choose_shrinkage(x, who)
    assert chosen in TRIED
    domain = fit_domain(x, who, shrinkage=chosen)
    assert domain.whitening is not None
    np.testing.assert_allclose(domain.whitening, domain.whitening.T, atol=1e-6)
    later, owner = _session_noise(1, 120, 5)

    def missed(one: Domain) -> float:
        pairs = all_pairs(one.apply(later), owner, tail=1)
        return float((pairs.mated <= pairs.tail[len(pairs.tail) // 1000]).mean())

    assert missed(domain) < 0.8 * missed(fit_domain(x, who))


def test_no_whitening_where_it_does_not_help(simulate) -> None:
    x, who = simulate(np.random.default_rng(1), 100, each=4, noise=0.8)
    assert choose_shrinkage(x, who) is None
    assert choose_shrinkage(x[:76], who[:76]) is None  # 19 people


def test_the_whitening_inverts_the_shrunk_covariance() -> None:
    x, who = _session_noise(2, 40, 4)
    rest = np.concatenate([x[who == p] - x[who == p].mean(axis=0) for p in range(40)])
    covariance = rest.T @ rest.astype(np.float64)
    covariance *= len(covariance) / np.trace(covariance)
    w = fit_domain(x, who, shrinkage=0.5).whitening
    assert w is not None
    np.testing.assert_allclose(w @ (0.5 * covariance + 0.5 * np.eye(32)) @ w, np.eye(32), atol=1e-4)


def test_rates_of_a_labelled_calibration_hold_for_other_people(simulate) -> None:
    rng = np.random.default_rng(13)
    for people in (60, 250):
        x, who = simulate(rng, people, each=3, center=0.6)
        made = calibrate_people(x, who, HERE)
        assert made.domain is not None
        later, owner = simulate(rng, 800, center=0.6)
        rate = 0.01
        pairs = all_pairs(made.project(later), owner, tail=1)
        measured = float((pairs.tail >= made.operating_point(rate).threshold).mean())
        assert 1 / 1.5 < measured / rate < 1.5


def test_pairs_and_people_agree_on_the_domain(simulate) -> None:
    x, who = simulate(np.random.default_rng(14), 80, each=2)
    first, second = np.triu_indices(160, 1)
    same = who[first] == who[second]
    made = calibrate_pairs(x, who, (first, second, same), HERE)
    whole = calibrate_people(x, who, HERE)
    assert made.domain is not None
    assert whole.domain is not None
    np.testing.assert_array_equal(made.domain.mean, whole.domain.mean)
    assert made.points[0].threshold == pytest.approx(whole.points[0].threshold, abs=1e-6)


def test_few_people_are_not_centered(simulate) -> None:
    x, who = simulate(np.random.default_rng(15), 9, each=6)
    made = calibrate_people(x, who, HERE, targets=[0.5])
    assert made.domain is None
    assert made.centered is None


def test_a_calibration_moves_to_another_mean_and_back_from_json(simulate) -> None:
    x, who = simulate(np.random.default_rng(16), 100, each=2)
    general = calibrate_people(x, who, HERE, center=False)
    assert general.domain is None
    np.testing.assert_array_equal(general.project(x), x)
    mean = Domain(x[:50].mean(axis=0), 50, 50)
    about = general.about(mean)
    assert about is not None
    own = calibrate_people(x, who, HERE)
    assert about.points == own.points != general.points
    np.testing.assert_array_equal(about.project(x), mean.apply(x))
    assert replace(general, centered=None).about(mean) is None
    for one in (general, about, own):
        text = one.to_json()
        again = Calibration.from_json(text)
        assert again.to_json() == text
        np.testing.assert_array_equal(again.project(x), one.project(x))
    # A whitening goes along.
    whitened = replace(about, domain=fit_domain(x, who, shrinkage=0.5))
    moved = whitened.about(mean)
    assert moved is not None
    assert moved.domain is not None
    np.testing.assert_array_equal(moved.domain.mean, mean.mean)
    assert moved.domain.whitening is whitened.domain.whitening


@pytest.mark.parametrize("side", ["a", "b"])
def test_a_direction_of_a_domain_is_that_of_a_template(side: str) -> None:
    x, half = _templates(8, 30, 16), np.random.default_rng(6).normal(size=(16, 16)) / 8 + np.eye(16)
    whitening = (half @ half.T).astype(np.float32)
    domain = Domain(x.mean(axis=0), 30, 30, mean_b=-x[0] / 3, whitening=whitening)
    np.testing.assert_allclose(domain.restore(domain.apply(x, side=side), side=side), x, atol=1e-5)
    mean = _unit(domain.apply(x[:4], side=side).mean(axis=0))[None]
    back = domain.restore(mean, side=side)
    assert np.linalg.norm(back) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(domain.apply(back, side=side), mean, atol=1e-5)


@pytest.mark.parametrize("whitened", [False, True])
def test_the_query_of_a_domain_orders_templates_as_its_scores_do(whitened: bool) -> None:
    x = _templates(5, 400, 16)
    half = np.random.default_rng(6).normal(size=(16, 16)) / 8 + np.eye(16)
    domain = Domain(
        people_mean(x, np.arange(400)), 400, 400, mean_b=-x[0] / 5,
        whitening=(half @ half.T).astype(np.float32) if whitened else None,
    )  # fmt: skip
    probes, references = domain.apply(x[:40], side="b"), x[40:]
    queries = domain.query(probes)
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, atol=1e-6)
    # Exactly so, but for the length of the reference.
    moved = references - domain.mean
    moved = moved @ domain.whitening if whitened else moved
    scores = probes @ domain.apply(references).T * np.linalg.norm(moved, axis=1)
    by_query = np.argsort(-(queries @ references.T), axis=1)
    np.testing.assert_array_equal(by_query[:, :5], np.argsort(-scores, axis=1)[:, :5])


def test_own_scores_about_the_own_mean_become_those_of_strangers() -> None:
    """People of one photo each, equally far from their mean: each left out of it in turn."""
    angle = np.arange(40) * 2 * np.pi / 40
    x = np.stack([np.cos(angle), np.sin(angle), np.ones(40)], axis=1) / 2**0.5
    total = x.sum(axis=0)
    about = _unit(x - total / 50)
    found, expected = [], []
    for i, j in [(0, 3), (5, 21), (17, 16)]:
        rest = (total - x[i]) / 49
        found.append(float(as_non_mated(np.array([about[i] @ about[j]]), 40)[0]))
        expected.append(_cos(x[i] - rest, x[j] - rest))
    assert found == pytest.approx(expected, abs=1e-9)
    assert found[0] > float(about[0] @ about[3])
