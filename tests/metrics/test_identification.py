"""Identification metrics against loops that follow the definitions word by word."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.errors import OptionError, UnsupportedFmrError
from visavis.metrics.identification import (
    cmc,
    fnir,
    fnir_at_fpir,
    fpir,
    ranks,
    threshold_at_fpir,
)

RATES = st.sampled_from([0.05, 0.1, 0.25, 1 / 3, 0.5, 0.9])


@st.composite
def searches(draw):
    """Scores with many ties: mated probes with all people, owners, strangers' scores."""
    seed = draw(st.integers(0, 10_000))
    levels = draw(st.integers(2, 40))
    people, probes, non_mated = (draw(st.integers(1, n)) for n in (8, 30, 40))
    rng = np.random.default_rng(seed)
    kind = draw(st.sampled_from([np.float32, np.float64]))
    mated = (rng.integers(0, levels, (probes, people)) / levels).astype(kind)
    others = (rng.integers(0, levels, (non_mated, people)) / levels).astype(kind)
    return mated, rng.integers(0, people, probes), others


def _returned(scores: np.ndarray, owner: int, threshold: float, rank: int) -> bool:
    """Whether the own person is returned, ties going to the others."""
    candidates = sorted(range(len(scores)), key=lambda k: (-float(scores[k]), k == owner))[:rank]
    return owner in candidates and float(scores[owner]) >= threshold


@given(searches(), st.integers(1, 4))
def test_rates_at_every_threshold_agree_with_a_loop(case, rank) -> None:
    mated, owners, non_mated = case
    places = ranks(mated, owners)
    mine = mated[np.arange(len(mated)), owners]
    best = non_mated.max(axis=1)
    for t in [*np.unique(np.concatenate([mine, best])), np.inf]:
        named = np.mean([any(float(s) >= t for s in row) for row in non_mated])
        missed = np.mean(
            [not _returned(row, o, t, rank) for row, o in zip(mated, owners, strict=True)]
        )
        assert fpir(best, t) == pytest.approx(named)
        assert fnir(mine, places, t, rank=rank) == pytest.approx(missed)


@given(searches(), RATES, st.integers(1, 3))
def test_fnir_at_fpir_is_the_best_that_any_observed_threshold_gives(case, rate, rank) -> None:
    mated, owners, non_mated = case
    places, best = ranks(mated, owners), non_mated.max(axis=1)
    mine = mated[np.arange(len(mated)), owners]
    if rate < 1 / len(best):
        with pytest.raises(UnsupportedFmrError):
            fnir_at_fpir(mine, places, best, rate, rank=rank)
        return
    observed = [*{float(v) for v in (*mine, *best)}, np.inf]
    allowed = [t for t in observed if np.mean([float(b) >= t for b in best]) <= rate]
    expected = min(
        np.mean([not _returned(row, o, t, rank) for row, o in zip(mated, owners, strict=True)])
        for t in allowed
    )
    assert fnir_at_fpir(mine, places, best, rate, rank=rank) == pytest.approx(expected)
    assert threshold_at_fpir(best, rate, mine) == min(allowed)


@given(searches())
def test_cmc_counts_whom_a_sorted_list_shows_by_then(case) -> None:
    mated, owners, _ = case
    places = ranks(mated, owners)
    curve = cmc(places, most=mated.shape[1])
    for r in range(1, mated.shape[1] + 1):
        shown = [_returned(row, o, -1.0, r) for row, o in zip(mated, owners, strict=True)]
        assert curve[r - 1] == pytest.approx(np.mean(shown))
    assert curve[-1] == 1
    assert (np.diff(curve) >= 0).all()


def test_a_tie_with_somebody_else_is_no_first_place() -> None:
    assert ranks([[0.5, 0.5]], [1]).tolist() == [2]
    assert ranks([[0.5, 0.4999]], [0]).tolist() == [1]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: ranks([[0.1]], [1]), "there are 1 columns"),
        (lambda: ranks([[0.1]], [0.0]), "one column number per probe"),
        (lambda: ranks([[np.nan]], [0]), "NaN"),
        (lambda: cmc([0]), "at least 1"),
        (lambda: cmc([]), "ranks"),
        (lambda: cmc([1], most=0), "1 or more"),
        (lambda: fnir([0.1, 0.2], [1], 0.5), "2 mated scores and 1 ranks"),
        (lambda: fnir([0.1], [1], 0.5, rank=0), "rank 0"),
        (lambda: fpir([], 0.5), "non-mated"),
        (lambda: threshold_at_fpir([0.1], 1.0), r"\(0, 1\)"),
        (lambda: threshold_at_fpir([np.inf], 0.5), "finite"),
    ],
)
def test_what_is_not_accepted_is_said(call, says) -> None:
    with pytest.raises(OptionError, match=says):
        call()
