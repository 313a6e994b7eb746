"""Algorithms by name, at a false-merge rate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr
from tests.contracts.clusterer import ClustererContract, people, same_partition

from visavis.clustering import choose
from visavis.clustering.clusterer import Clusterer
from visavis.clustering.thresholds import FmrCurve
from visavis.errors import OptionError
from visavis.types import OperatingPoint


@pytest.fixture
def curve() -> FmrCurve:
    scores = np.linspace(0.1, 0.5, 41)
    return FmrCurve(
        tuple(scores.tolist()), tuple(ndtr(-scores * np.sqrt(128)).tolist()), typical=0.0
    )


class TestByRate(ClustererContract):
    @pytest.fixture
    def clusterer(self, curve: FmrCurve) -> Clusterer:
        return choose.by_name("dbscan", curve)


@pytest.mark.parametrize("name", choose.NAMES)
def test_each_finds_people_and_says_what_it_is(name: str, curve: FmrCurve) -> None:
    vectors, who = people([12, 5, 1, 8, 1, 30], spread=0.5)
    clusterer = choose.by_name(name, curve, false_merge_rate=0.02)
    assert isinstance(clusterer, Clusterer)
    assert same_partition(clusterer.cluster(vectors), who)
    assert "0.02" in clusterer.name
    assert clusterer.cluster(vectors[:0]).tolist() == []


@pytest.mark.parametrize("name", choose.AT_SCORE)
def test_a_lower_rate_asks_for_a_higher_score(name: str, curve: FmrCurve) -> None:
    scores = [
        choose.score_for(name, curve, faces=1000, false_merge_rate=rate)
        for rate in (0.1, 0.01, 1e-3, 1e-4)
    ]
    assert scores == sorted(scores)
    assert scores[0] < scores[-1]


def test_more_faces_ask_for_a_higher_score(curve: FmrCurve) -> None:
    few, many = (
        choose.score_for("dbscan", curve, faces=n, false_merge_rate=0.01) for n in (100, 10_000)
    )
    assert few < many


def test_of_a_calibration() -> None:
    points = [
        OperatingPoint("m", "0" * 64, t, fmr, (0, 1), 0.1, "d", 1000, target_fmr=fmr)
        for t, fmr in ((0.4, 1e-3), (0.2, 1e-1), (0.3, 1e-2))
    ]
    found = choose.fmr_curve_of(points)
    assert found.thresholds == (0.2, 0.3, 0.4)
    assert found.fmr == (1e-1, 1e-2, 1e-3)
    reference = {"quantiles": (0.0, 0.5, 1.0), "non_mated": (-0.2, 0.07, 0.5)}
    assert choose.fmr_curve_of(points, reference).typical == pytest.approx(0.07)


def test_what_is_not_accepted(curve: FmrCurve) -> None:
    with pytest.raises(OptionError, match="graph-linkage, average, dbscan"):
        choose.by_name("k-means", curve)
    for name in choose.NAMES:
        with pytest.raises(OptionError):
            choose.by_name(name, curve, false_merge_rate=0)
