from __future__ import annotations

import numpy as np
import pytest

from visavis.decision.bootstrap import PeopleBootstrap
from visavis.decision.pair_scores import all_pairs
from visavis.errors import OptionError


def test_weights_of_pairs_agree_with_a_loop(simulate) -> None:
    x, who = simulate(np.random.default_rng(0), 15, each=3)
    pairs = all_pairs(x, who, tail=1)
    draws = PeopleBootstrap.draw(15, replicates=100)
    threshold, middle = pairs.tail[60], float(np.median(pairs.mated))
    names = np.unique([str(w) for w in who])
    place = {int(name): k for k, name in enumerate(names)}
    rates, misses = [], []
    scores = x @ x.T
    for weight in draws.weights.T:
        total = hits = mated = missed = 0.0
        for i in range(len(x)):
            for j in range(i + 1, len(x)):
                p, q = weight[place[who[i]]], weight[place[who[j]]]
                if who[i] == who[j]:
                    mated += p
                    missed += p * (scores[i, j] < middle)
                else:
                    total += p * q
                    hits += p * q * (scores[i, j] >= threshold)
        rates.append(hits / total)
        misses.append(missed / mated)
    found = draws.fmr_intervals(pairs, [61])[0]
    assert found == pytest.approx(tuple(np.quantile(rates, [0.025, 0.975])), rel=1e-5)
    missing = draws.fnmr_interval(pairs, middle)
    assert missing == pytest.approx(tuple(np.quantile(misses, [0.025, 0.975])), rel=1e-5)


def test_no_miss_is_no_proof_of_none(simulate) -> None:
    """Nobody missed: the exact binomial bound, a person being one trial."""
    x, who = simulate(np.random.default_rng(0), 15, each=3)
    pairs = all_pairs(x, who, tail=1)
    low, high = PeopleBootstrap.draw(15, replicates=100).fnmr_interval(pairs, -1.0)
    assert low == 0
    assert (1 - high) ** 15 == pytest.approx(0.025)


def test_intervals_hold_where_the_truth_is_known(simulate) -> None:
    # People differ in how close to everybody they are (spread of the center's share): pairs of one
    # person go up and down together, so an interval over pairs is far too narrow.
    rng = np.random.default_rng(1)

    def photos(count: int) -> np.ndarray:
        x = rng.standard_normal((count, 24))
        x[:, 0] = 2.0 + 1.2 * rng.standard_normal(count)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    truth = photos(3000)
    upper = (truth @ truth.T)[np.triu_indices(3000, 1)]
    threshold = np.quantile(upper, 0.99)
    people_hold = pairs_hold = 0
    for _ in range(40):
        pairs = all_pairs(photos(150), np.arange(150), tail=1)
        count = int((pairs.tail >= threshold).sum())
        rate = count / pairs.non_mated
        low, high = PeopleBootstrap.draw(150, replicates=200).fmr_intervals(pairs, [count])[0]
        people_hold += low <= 0.01 <= high
        margin = 1.96 * np.sqrt(rate * (1 - rate) / pairs.non_mated)
        pairs_hold += abs(rate - 0.01) <= margin
    assert people_hold >= 34
    assert pairs_hold <= 28


def test_too_few_replicates_are_refused() -> None:
    with pytest.raises(OptionError):
        PeopleBootstrap.draw(10, replicates=10)
