"""The threshold of a gallery: against simulated strangers, and what it must never do."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.decision.check import shape_of
from visavis.decision.labelled import Provenance, calibrate
from visavis.decision.non_mated_model import measure_non_mated
from visavis.decision.open_set import (
    IdentificationPoint,
    open_set,
    supported_fpirs,
)
from visavis.decision.pair_scores import all_pairs
from visavis.decision.profile import Calibration, CalibrationStore
from visavis.decision.transfer import transfer
from visavis.decision.unlabelled import estimate_non_mated
from visavis.errors import CalibrationError, OptionError, UnsupportedFmrError
from visavis.gallery.fusion import fused_scores, simulated_non_mated
from visavis.metrics.intervals import proportion_interval

SHIPPED = CalibrationStore().load("sface-lfw")
RATES = st.floats(0.02, 0.9)


def identification_threshold(fpir: float, **gallery: Any) -> IdentificationPoint:
    return open_set(**gallery).point(fpir)


@pytest.fixture(scope="module")
def made() -> Calibration:
    from tests.decision.conftest import simulate

    x, who = simulate(np.random.default_rng(0), 900, each=2, dimension=32)
    return calibrate(
        all_pairs(x, who),
        Provenance("toy", "net", "a" * 64, "plain", "toys", 1800),
        replicates=100,
        non_mated=measure_non_mated(x, who),
    )


def _measured(
    rng: np.random.Generator, x: np.ndarray, size: int, threshold: float, rounds: int = 40
) -> float:
    found = []
    for _ in range(rounds):
        order = rng.permutation(len(x))
        best = (x[order[size:]] @ x[order[:size]].T).max(axis=1)
        found.append(np.mean(best >= threshold))
    return float(np.mean(found))


@pytest.mark.parametrize("size", [10, 100, 400])
def test_a_stated_rate_holds_for_people_who_were_not_measured(made, simulate, size) -> None:
    rng = np.random.default_rng(11)
    x, _ = simulate(rng, 1500, dimension=32)
    for rate in (0.1, 0.02):
        point = identification_threshold(rate, people=size, calibration=made)
        measured = _measured(rng, x, size, point.threshold)
        assert measured == pytest.approx(rate, rel=0.25)
        assert point.fpir_ci[0] < rate < point.fpir_ci[1]
        assert (point.people, point.calibration, point.probes) == (size, "toy", 0)
        assert "900 people" in point.basis


def test_own_scores_correct_for_photos_unlike_the_calibrations(made, simulate) -> None:
    rng = np.random.default_rng(12)
    x, _ = simulate(rng, 1500, dimension=32, center=0.75)  # everybody is more alike
    size, rate = 500, 0.05
    own = simulated_non_mated(x[:size], np.arange(size))
    without = open_set(people=size, calibration=made)
    moved = open_set(people=size, calibration=made, own=own)
    assert _measured(rng, x, size, without.point(rate).threshold) > 5 * rate
    point = moved.point(rate)
    measured = np.mean((x[size:] @ x[:size].T).max(axis=1) >= point.threshold)
    assert point.fpir_ci[0] <= measured <= point.fpir_ci[1]
    assert measured == pytest.approx(rate, rel=0.6)
    assert point.probes + point.suspects == size
    assert "own people" in point.basis


def test_own_scores_of_photos_like_the_calibrations_hardly_move_it(made, simulate) -> None:
    x, _ = simulate(np.random.default_rng(13), 600, dimension=32)
    own = simulated_non_mated(x, np.arange(600))
    without = open_set(people=600, calibration=made).point(0.02).threshold
    assert open_set(people=600, calibration=made, own=own).point(0.02).threshold == pytest.approx(
        without, abs=0.02
    )


@pytest.mark.parametrize("fusion", ["max", "mean", "weighted"])
@pytest.mark.parametrize("templates", [2, 5])
def test_more_templates_raise_strangers_and_the_threshold(fusion, templates) -> None:
    one = identification_threshold(0.01, people=100, calibration=SHIPPED, fusion=fusion)
    more = identification_threshold(
        0.01, people=100, templates=templates, calibration=SHIPPED, fusion=fusion
    )
    every = identification_threshold(0.01, people=100 * templates, calibration=SHIPPED)
    assert one.threshold < more.threshold <= every.threshold + 1e-9


@given(RATES, st.integers(1, 2000), st.sampled_from(["max", "weighted"]), st.floats(1, 4))
def test_thresholds_rise_with_size_and_fall_with_the_rate(rate, size, fusion, templates) -> None:
    def threshold(rate: float, size: int) -> float:
        return identification_threshold(
            rate, people=size, templates=templates, fusion=fusion, calibration=SHIPPED
        ).threshold

    assert threshold(rate, size) <= threshold(rate, size + size // 2 + 1)
    assert threshold(rate, size) >= threshold(min(rate * 1.1, 0.99), size)


@given(RATES, st.integers(1, 3000))
def test_the_threshold_is_the_lowest_score_with_the_rate(rate, size) -> None:
    gallery = open_set(people=size, calibration=SHIPPED)
    threshold = gallery.point(rate).threshold
    assert gallery.fpir(threshold) <= rate * (1 + 1e-9)
    assert gallery.fpir(threshold - 0.002) > rate


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=30), st.integers(1, 10_000))
def test_a_higher_score_never_has_a_higher_chance(scores, size) -> None:
    gallery = open_set(people=size, calibration=SHIPPED)
    rates = gallery.fpir(sorted(scores))
    assert (np.diff(rates) <= 1e-3 * rates[:-1]).all()
    assert (rates >= gallery.lowest * (1 - 1e-9)).all()
    assert (rates <= 1).all()


def test_what_the_shipped_calibration_says_of_a_thousand_people() -> None:
    point = identification_threshold(1e-2, people=1000, calibration=SHIPPED)
    assert point.threshold == pytest.approx(0.4735, abs=0.005)
    assert point.pairs == 4038 * 4037 // 2
    assert json.loads(json.dumps(point.to_dict()))["model"] == "sface"
    # By pairs of photos, in which people with many photos dominate, it would be 0.517.
    old = replace(SHIPPED, reference=None)
    by_pairs = identification_threshold(1e-2, people=1000, calibration=old)
    assert by_pairs.threshold == pytest.approx(0.517, abs=0.005)
    assert "safe side" in by_pairs.basis
    assert by_pairs.pairs > 40_000_000


def test_ten_people_and_a_rate_of_one_in_a_thousand_have_an_answer() -> None:
    point = identification_threshold(1e-3, people=10, calibration=SHIPPED)
    assert point.threshold == pytest.approx(0.4245, abs=0.005)


def test_a_rate_that_the_data_do_not_support_is_refused() -> None:
    gallery = open_set(people=4000, calibration=SHIPPED)
    with pytest.raises(UnsupportedFmrError):
        gallery.point(5e-324)  # the smallest number above 0
    with pytest.raises(UnsupportedFmrError) as refused:
        gallery.point(1e-3)
    offered = float(refused.value.remedy.split("ask for ")[1].split(" ")[0])
    assert gallery.lowest <= offered < 1.2 * gallery.lowest
    assert gallery.point(offered).threshold < 1
    assert gallery.fpir(1.0) == pytest.approx(gallery.lowest)


def test_own_scores_alone_are_counted_and_nothing_else() -> None:
    own = np.random.default_rng(0).normal(0.3, 0.05, 1000).clip(-1, 1)
    gallery = open_set(people=1000, own=own)
    point = gallery.point(0.05)
    assert point.threshold == sorted(own)[-50]
    assert (own >= point.threshold).mean() == 0.05
    assert (point.calibration, point.pairs, point.probes) == ("", 0, 1000)
    assert gallery.fpir(float(np.median(own))) == pytest.approx(0.5, abs=0.01)
    assert gallery.lowest == 0.01
    with pytest.raises(UnsupportedFmrError):
        gallery.point(0.009)


def test_a_gallery_beyond_the_calibration_is_answered_by_its_own_scores() -> None:
    own = np.random.default_rng(1).normal(0.5, 0.03, 2000)
    point = open_set(people=1_000_000, calibration=SHIPPED, own=own).point(0.01)
    assert point.threshold == pytest.approx(sorted(own)[-20])
    assert "own people" in point.basis
    assert point.calibration == ""


def test_people_enrolled_twice_are_suspected_and_left_out(simulate) -> None:
    own = np.random.default_rng(2).normal(0.36, 0.03, 500)
    twice = own.copy()
    twice[:8] = 0.9
    clean, spoilt = (open_set(people=500, calibration=SHIPPED, own=o) for o in (own, twice))
    assert (clean.suspects, spoilt.suspects) == (0, 8)
    assert spoilt.point(0.01).threshold == pytest.approx(clean.point(0.01).threshold, abs=0.01)
    assert spoilt.point(0.01).suspects == 8
    # Where a tenth of the people score like that, strangers do.
    many = own.copy()
    many[:50] = 0.9
    assert open_set(people=500, calibration=SHIPPED, own=many).suspects == 0


def _enrolled(
    x: np.ndarray, who: np.ndarray, people: int, photos: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Templates and owners of some people drawn at random, and one photo of each of the others."""
    chosen = rng.permutation(who.max() + 1)
    number = np.full(len(chosen), -1)
    number[chosen[:people]] = np.arange(people)
    place = np.arange(len(who)) % (np.bincount(who).max())
    mine = (number[who] >= 0) & (place < photos)
    return x[mine], number[who[mine]], x[(number[who] < 0) & (place == 0)]


@pytest.mark.parametrize(("people", "photos"), [(10, 1), (10, 3), (60, 1), (60, 3), (60, 10)])
@pytest.mark.parametrize("center", [0.3, 0.5])  # photos like the calibration's, and others
def test_small_galleries_keep_their_rate_on_other_photos(
    made, simulate, people, photos, center
) -> None:
    shipped = replace(made, name="sface-lfw")  # whose photos are nobody's of the users
    rng = np.random.default_rng(21)
    x, who = simulate(rng, 700, each=photos, dimension=32, center=center)
    inside, ratios, alone = [], [], []
    for _ in range(12):
        vectors, owners, probes = _enrolled(x, who, people, photos, rng)
        best = fused_scores(probes, vectors, owners, fusion="mean").max(axis=1)
        own = simulated_non_mated(vectors, owners, fusion="mean")
        for scores in (own, None):
            point = identification_threshold(
                0.1, people=people, templates=photos, fusion="mean", calibration=shipped, own=scores
            )
            measured = np.mean(best >= point.threshold)
            if scores is None:
                alone.append(measured / 0.1)
                continue
            inside.append(point.fpir_ci[0] <= measured <= point.fpir_ci[1])
            ratios.append(measured / 0.1)
            assert point.probes + point.suspects == people
    assert np.mean(inside) >= 0.9
    assert np.mean(ratios) < 1.7
    if center > 0.3:
        assert np.mean(alone) > 2.5


def test_the_interval_without_own_scores_says_what_other_photos_may_do(made) -> None:
    from visavis.decision.fpir_model import SHIFT_SD

    shipped, own = (open_set(people=60, calibration=c).point(0.01) for c in (SHIPPED, made))
    # The prior alone: a standard deviation of one in the log of the rate, at the least.
    assert shipped.fpir_ci[1] >= 0.01 * np.exp(1.96 * SHIFT_SD) * 0.9
    # A calibration of the user's own is nearer to their photos, and nobody's word for certain.
    assert own.fpir_ci[1] / own.fpir < shipped.fpir_ci[1] / shipped.fpir
    assert open_set(people=60, calibration=SHIPPED).warnings(0.01)
    like = np.full(400, 0.0) + np.random.default_rng(3).normal(0.33, 0.04, 400)
    assert not open_set(people=400, calibration=SHIPPED, own=like).warnings(0.1)


def test_more_own_scores_leave_less_open(made, simulate) -> None:
    x, _ = simulate(np.random.default_rng(22), 400, dimension=32)
    widths = []
    for people in (5, 20, 80, 320):
        own = simulated_non_mated(x[:people], np.arange(people))
        low, high = open_set(people=people, calibration=made, own=own).point(0.05).fpir_ci
        widths.append(high / low)
    assert sorted(widths, reverse=True) == widths


def test_one_person_enrolled_twice_does_not_close_a_small_gallery() -> None:
    own = np.random.default_rng(2).normal(0.25, 0.04, 12)
    twice = np.concatenate([own, [0.9, 0.9]])
    spoilt = open_set(people=14, calibration=SHIPPED, own=twice)
    assert spoilt.suspects == 2
    clean = open_set(people=12, calibration=SHIPPED, own=own).point(0.1)
    assert spoilt.point(0.1).threshold == pytest.approx(clean.threshold, abs=0.02)


def test_what_a_calibration_supports_is_what_it_answers(made) -> None:
    for calibration in (SHIPPED, made):
        for one in supported_fpirs(calibration):
            gallery = open_set(people=one.people, calibration=calibration)
            assert gallery.lowest <= one.lowest <= 1.1 * gallery.lowest
            assert gallery.point(one.lowest).fpir_ci == one.lowest_ci
            assert (one.default_ci is None) == (one.lowest > 0.01)
            assert gallery.supported(0.01) == max(0.01, one.lowest)
            with pytest.raises(UnsupportedFmrError):
                gallery.point(0.9 * gallery.lowest)
    (few,) = supported_fpirs(_on(30, np.random.default_rng(1)), sizes=(10_000,))
    assert (few.lowest, few.default_ci) == (1.0, None)


def _on(people: int, rng: np.random.Generator) -> Calibration:
    """A calibration measured on so many people."""
    from tests.decision.conftest import simulate

    x, who = simulate(rng, people, each=3, dimension=32)
    return calibrate(
        all_pairs(x, who, tail=1.0),
        Provenance("few", "net", "a" * 64, "plain", "toys", len(x)),
        replicates=100,
        non_mated=measure_non_mated(x, who),
    )


def test_the_advice_of_a_refusal_works() -> None:
    rng = np.random.default_rng(5)
    with pytest.raises(UnsupportedFmrError) as refused:
        open_set(people=100, calibration=_on(60, rng)).point(0.05)
    more = int(re.search(r"about ([\d,]+) people", refused.value.remedy)[1].replace(",", ""))
    assert 60 < more < 500
    assert open_set(people=100, calibration=_on(more, rng)).point(0.05).fpir == 0.05


def test_two_hundred_unlabelled_photos_support_small_galleries(made, simulate) -> None:
    rng = np.random.default_rng(23)
    x, who = simulate(rng, 900, each=3, dimension=32, center=0.6)
    sample = x[::3][:200]
    gate = transfer(
        made,
        estimate_non_mated(sample, center=False, shape=shape_of(made), half_samples=8),
        Provenance("gate", "net", "a" * 64, "plain", "gate", 200),
    )
    assert Calibration.from_json(gate.to_json()).reference == gate.reference
    inside, ratios = [], []
    for _ in range(12):
        vectors, owners, probes = _enrolled(x[600:], who[600:] - 200, 60, 3, rng)
        best = fused_scores(probes, vectors, owners, fusion="mean").max(axis=1)
        own = simulated_non_mated(vectors, owners, fusion="mean")
        gallery = open_set(people=60, templates=3, fusion="mean", calibration=gate, own=own)
        assert gallery.supported(0.01) == 0.01
        for rate in (0.1, 0.01):
            point = gallery.point(rate)
            assert "without labels" in point.basis
            measured = np.mean(best >= point.threshold)
            low, high = proportion_interval(round(measured * len(best)), len(best))
            inside.append(high >= point.fpir_ci[0] and low <= point.fpir_ci[1])
            ratios.append(measured / rate)
    assert np.mean(inside) >= 0.9
    assert np.mean(ratios) < 1.5


def test_fused_galleries_keep_their_rate(made, simulate) -> None:
    rng = np.random.default_rng(14)
    x, who = simulate(rng, 1200, each=3, dimension=32)
    size, rate = 300, 0.05
    enrolled, probes = who < size, (who >= size) & (np.arange(len(who)) % 3 == 0)
    for fusion in ("max", "mean"):
        own = simulated_non_mated(x[enrolled], who[enrolled], fusion=fusion)
        point = identification_threshold(
            rate, people=size, templates=3, fusion=fusion, calibration=made, own=own
        )
        best = fused_scores(x[probes], x[enrolled], who[enrolled], fusion=fusion).max(axis=1)
        assert point.fpir_ci[0] <= np.mean(best >= point.threshold) <= point.fpir_ci[1]


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: open_set(people=0, calibration=SHIPPED), OptionError, "enroll somebody"),
        (lambda: open_set(people=5, templates=0.5, calibration=SHIPPED), OptionError, "0.5"),
        (lambda: open_set(people=5, fusion="sum", calibration=SHIPPED), OptionError, "weighted"),
        (lambda: open_set(people=5), CalibrationError, "visavis calibrate"),
        (lambda: open_set(people=500, own=np.full(500, 1.2)), OptionError, r"\[-1, 1\]"),
        (lambda: open_set(people=500, own=np.full(500, np.nan)), OptionError, r"\[-1, 1\]"),
        (lambda: open_set(people=5, calibration=SHIPPED).point(0), OptionError, r"\(0, 1\)"),
        (lambda: open_set(people=5, calibration=SHIPPED).point("1e-2"), OptionError, r"\(0, 1\)"),
    ],
)
def test_what_is_not_accepted_is_said(call, error, says) -> None:
    with pytest.raises(error, match=says):
        call()
