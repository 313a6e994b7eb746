"""Do the bootstrap's intervals cover what they claim to cover?"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from visavis.errors import OptionError
from visavis.metrics import cells
from visavis.metrics.intervals import Resampler, bootstrap, proportion_interval
from visavis.metrics.verification import eer, fnmr_at_fmr, roc_auc


def mean_of(values: np.ndarray):
    return lambda _, weights: [weights @ values / weights.sum()]


def test_weights_of_pairs_are_draws_with_replacement() -> None:
    mated, non_mated = Resampler(50, 80).draw(np.random.default_rng(0))
    assert (len(mated), mated.sum(), len(non_mated), non_mated.sum()) == (50, 50, 80, 80)
    assert mated.max() > 1


def test_members_of_a_pair_share_the_counts_of_their_people() -> None:
    rng = np.random.default_rng(1)
    own = np.repeat(np.arange(20), 2)
    pairs = rng.integers(0, 20, (60, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    resampler = Resampler(40, len(pairs), np.stack([own, own], axis=1), pairs)
    assert resampler.people == 20
    for _ in range(10):
        mated, non_mated = resampler.draw(rng)
        times = mated[::2]  # a mated pair weighs its person's count
        assert mated.tolist() == np.repeat(times, 2).tolist()
        assert times.sum() == 20
        assert non_mated.tolist() == (times[pairs[:, 0]] * times[pairs[:, 1]]).tolist()


def test_weighted_metrics_equal_repeated_pairs() -> None:
    rng = np.random.default_rng(2)
    m, n = rng.normal(0.4, 0.2, 60).round(1), rng.normal(0.1, 0.2, 90).round(1)
    a, b = rng.integers(0, 4, 60), rng.integers(0, 4, 90)
    counts = cells.assign(m, n).count(a, b)
    many, others = np.repeat(m, a), np.repeat(n, b)
    assert cells.auc(counts) == pytest.approx(roc_auc(many, others), abs=1e-12)
    assert cells.equal_error_rate(counts) == pytest.approx(eer(many, others), abs=1e-12)
    for fmr in (0.3, 0.1, 0.05):
        assert cells.false_non_matches(counts, fmr) == fnmr_at_fmr(many, others, fmr)


def test_the_seed_decides() -> None:
    values = np.random.default_rng(3).random(100)
    runs = [bootstrap(mean_of(values), Resampler(1, 100), seed=s, replicates=50) for s in (1, 1, 2)]
    assert runs[0].tolist() == runs[1].tolist() != runs[2].tolist()


def test_intervals_over_pairs_cover_the_truth() -> None:
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(200):
        wrong = rng.random(300) < 0.1
        ((low, high),) = bootstrap(mean_of(wrong), Resampler(1, 300), replicates=200, seed=0)
        hits += low <= 0.1 <= high
    assert 0.90 <= hits / 200 <= 0.99


def test_intervals_over_people_cover_where_pairs_share_people_and_pairs_do_not() -> None:
    rng = np.random.default_rng(5)
    people = 40
    first, second = np.triu_indices(people, 1)
    pairs = np.stack([first, second], axis=1)
    own = np.stack([np.arange(people)] * 2, axis=1)
    hits_people = hits_pairs = 0
    for _ in range(100):
        # Each person shifts the scores of all their pairs; the true mean is zero.
        shift = rng.normal(0, 1, people)
        scores = shift[first] + shift[second] + rng.normal(0, 0.5, len(first))
        by_people = Resampler(people, len(pairs), own, pairs)
        by_pairs = Resampler(people, len(pairs))
        for resampler in (by_people, by_pairs):
            ((low, high),) = bootstrap(mean_of(scores), resampler, replicates=100, seed=0)
            if resampler is by_people:
                hits_people += low <= 0 <= high
            else:
                hits_pairs += low <= 0 <= high
    assert hits_people >= 86
    assert hits_pairs <= 60


def test_undefined_statistics_have_no_interval() -> None:
    nan = bootstrap(lambda _a, _b: [0.5, float("nan")], Resampler(5, 5), replicates=20)
    assert nan[0].tolist() == [0.5, 0.5]
    assert np.isnan(nan[1]).all()


def test_replicates_without_a_kind_of_pair_are_left_out() -> None:
    # One person of ten has the only mated pair: a third of the draws miss them.
    pairs = np.array([[k, k + 1] for k in range(9)])
    resampler = Resampler(1, 9, np.array([[0, 0]]), pairs)
    called = []
    ends = bootstrap(lambda a, b: called.append(a) or [1.0, 2.0], resampler, replicates=100)
    assert 40 < len(called) < 90
    assert ends.shape == (2, 2)
    assert np.isnan(ends).all()


def test_progress_is_reported() -> None:
    seen: list[tuple[int, int]] = []
    bootstrap(
        lambda _a, _b: [0.0], Resampler(2, 2), replicates=20, progress=lambda *a: seen.append(a)
    )
    assert seen == [(k, 20) for k in range(1, 21)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replicates": 5}, "5 bootstrap replicates"),
        ({"level": 1.0}, "level 1.0"),
    ],
)
def test_bootstrap_refuses(options, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        bootstrap(lambda _a, _b: [0.0], Resampler(2, 2), **options)


@pytest.mark.parametrize(
    "arguments",
    [
        (2, 0),
        (1, 1, np.zeros((1, 2), dtype=int), None),
        (2, 1, np.zeros((1, 2), dtype=int), np.zeros((1, 2), dtype=int)),
        (1, 1, np.zeros((1, 2)), np.zeros((1, 2))),
        (1, 1, np.full((1, 2), -1), np.full((1, 2), 0)),
    ],
)
def test_resampler_refuses(arguments) -> None:
    with pytest.raises(OptionError):
        Resampler(*arguments)


@pytest.mark.parametrize(("events", "trials"), [(0, 10), (3, 10), (10, 10), (1, 3000)])
def test_proportion_interval_is_clopper_and_pearsons(events: int, trials: int) -> None:
    expected = binomtest(events, trials).proportion_ci(0.95, method="exact")
    assert proportion_interval(events, trials) == pytest.approx(tuple(expected), rel=1e-9)


@pytest.mark.parametrize(("events", "trials"), [(1, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(events: int, trials: int) -> None:
    with pytest.raises(OptionError):
        proportion_interval(events, trials)
