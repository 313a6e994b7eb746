"""The summary says what the metrics say, about the pairs it says."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from visavis.errors import DataError
from visavis.evaluation.scores.table import About, ScoreFile, texts
from visavis.evaluation.verification.summary import summarize
from visavis.metrics.accuracy import kfold_accuracy, stratified_folds
from visavis.metrics.likelihood import cllr
from visavis.metrics.verification import fnmr_at_fmr
from visavis.types import OperatingPoint


def simulated(
    pairs: int = 400, *, seed: int = 0, failed: int = 0, people: bool = False, apart: float = 0.5
) -> ScoreFile:
    """Scores of pairs of photos, half of them mated, some failed."""
    rng = np.random.default_rng(seed)
    same = np.arange(pairs) % 2 == 0
    score = np.clip(rng.normal(0.1, 0.15, pairs) + apart * same, -1, 1)
    score[rng.choice(pairs, failed, replace=False)] = np.nan
    who = rng.integers(0, 60, (pairs, 2))
    who[:, 1] = np.where(same, who[:, 0], (who[:, 0] + 1 + who[:, 1] % 59) % 60)
    return ScoreFile(
        a=texts(f"a{k}.jpg" for k in range(pairs)),
        b=texts(f"b{k}.jpg" for k in range(pairs)),
        same=same,
        score=score,
        failure=texts("no-face (a)" if np.isnan(s) else "" for s in score),
        person_a=texts(f"p{k}" for k in who[:, 0]) if people else None,
        person_b=texts(f"p{k}" for k in who[:, 1]) if people else None,
        model="m",
        model_sha256="ab",
        pipeline_id="s",
        about=About(protocol="simulated"),
    )


def test_metrics_are_those_of_the_scored_pairs() -> None:
    table = simulated(failed=30)
    summary = summarize(table, replicates=0)
    kept = table.scored
    s, y = table.score[kept], table.same[kept]
    assert summary.auc == pytest.approx(roc_auc_score(y, s), abs=1e-12)
    folds = stratified_folds(table.same, 10)[kept]
    expected = kfold_accuracy(s, y, folds)
    assert summary.accuracy == expected.mean
    assert summary.accuracy_se == expected.standard_error
    assert [f.threshold for f in summary.folds] == expected.thresholds.tolist()
    assert summary.fnmr_at_fmr == {
        "1e-1": fnmr_at_fmr(s[y], s[~y], 0.1),
        "1e-2": fnmr_at_fmr(s[y], s[~y], 0.01),
    }
    for name, threshold in summary.thresholds.items():
        assert np.mean(s[~y] >= threshold) <= float(name)
        assert np.mean(s[y] < threshold) == summary.fnmr_at_fmr[name]
    assert (summary.pairs, summary.failures) == (400, 30)
    assert summary.failure_reasons == {"no-face (a)": 30}
    assert summary.scored_mated + summary.scored_non_mated == 370


def test_failures_are_decided_different_in_their_own_accuracy() -> None:
    table = simulated(failed=40, seed=3)
    summary = summarize(table, replicates=0)
    folds = stratified_folds(table.same, 10)
    shares = []
    for one in summary.folds:
        own = folds == one.fold
        # A failed pair has NaN for a score, and NaN >= threshold is false: "different".
        with np.errstate(invalid="ignore"):
            shares.append(np.mean((table.score[own] >= one.threshold) == table.same[own]))
    assert [f.accuracy_failures_different for f in summary.folds] == pytest.approx(shares)
    assert summary.accuracy_failures_different == pytest.approx(np.mean(shares))
    assert summary.accuracy_failures_different < summary.accuracy


def test_the_lists_own_folds_count() -> None:
    table = dataclasses.replace(simulated(), fold=np.arange(400) % 4)
    summary = summarize(table, replicates=0)
    assert [f.fold for f in summary.folds] == [0, 1, 2, 3]
    assert summary.folds_from == "the folds of the list"
    assert summary.accuracy == kfold_accuracy(table.score, table.same, np.arange(400) % 4).mean


def test_short_lists_have_fewer_folds_or_none() -> None:
    assert len(summarize(simulated(8), replicates=0).folds) == 4
    two = simulated(2)
    summary = summarize(two, replicates=0)
    assert summary.folds == ()
    assert summary.to_dict()["accuracy"] is None
    assert summary.fnmr_at_fmr == {}


def test_json_has_the_promised_keys_and_only_json_values() -> None:
    plain = summarize(simulated(), replicates=20).to_dict()
    keys = {"accuracy", "accuracy_se", "auc", "eer", "fnmr_at_fmr", "pairs", "failures"}
    assert keys <= plain.keys()
    json.dumps(plain, allow_nan=False)
    assert plain["cllr"] is None


def test_intervals_hold_the_value_and_follow_the_seed() -> None:
    table = simulated(people=True)
    summary = summarize(table, replicates=200)
    assert (summary.resampled, summary.level, summary.replicates) == ("people", 0.95, 200)
    assert summary.people == len({*table.person_a, *table.person_b})
    values = {"auc": summary.auc, "eer": summary.eer, "accuracy": summary.accuracy}
    values |= {f"fnmr_at_fmr[{k}]": v for k, v in summary.fnmr_at_fmr.items()}
    for name, value in values.items():
        low, high = summary.intervals[name]
        assert low <= value <= high, name
        assert low < high
    assert summarize(table, replicates=200).intervals == summary.intervals
    assert summarize(table, replicates=200, seed=1).intervals != summary.intervals


def test_pairs_are_drawn_where_nobody_said_who_is_who() -> None:
    assert summarize(simulated(), replicates=20).resampled == "pairs"
    some = simulated(people=True)
    assert some.person_a is not None
    some.person_a[3] = ""
    assert summarize(some, replicates=20).resampled == "pairs"


def test_no_errors_seen_is_not_no_errors() -> None:
    summary = summarize(simulated(apart=1.5), replicates=50)
    assert summary.eer == 0
    assert summary.intervals["eer"][0] == 0
    # 3.7 / 200 pairs: the exact binomial bound.
    assert summary.intervals["eer"][1] == pytest.approx(1 - 0.025 ** (1 / 200))
    assert summary.intervals["fnmr_at_fmr[1e-2]"][1] == pytest.approx(1 - 0.025 ** (1 / 200))


def with_points(table: ScoreFile, *points: tuple[float, float, tuple[float, float]]) -> ScoreFile:
    shipped = tuple(
        OperatingPoint("m", "ab", t, fmr, ci, 0.01, "LFW", 10**6, target_fmr=fmr)
        for t, fmr, ci in points
    )
    return dataclasses.replace(
        table, about=dataclasses.replace(table.about, operating_points=shipped, calibration="c")
    )


def test_shipped_thresholds_are_measured_here() -> None:
    table = simulated(2000, people=True)
    other = table.score[~table.same]
    t = float(np.sort(other)[-100])  # FMR here: a tenth
    summary = summarize(
        with_points(
            table, (t, 0.1, (0.09, 0.11)), (t, 0.08, (0.07, 0.09)), (t, 1e-3, (0.0008, 0.0012))
        ),
        replicates=200,
    )
    assert [p.verdict for p in summary.operating_points] == ["holds", "within chance", "exceeded"]
    for point in summary.operating_points:
        assert point.fmr == np.mean(other >= t) == point.false_matches / point.non_mated
        assert point.fnmr == np.mean(table.score[table.same] < t)
        assert point.fmr_ci[0] < point.fmr < point.fmr_ci[1]


def test_a_threshold_nobody_passes_has_an_upper_bound() -> None:
    (point,) = summarize(
        with_points(simulated(), (2.0, 1e-3, (0.0008, 0.0012))), replicates=50
    ).operating_points
    assert (point.fmr, point.fnmr, point.verdict) == (0.0, 1.0, "too few pairs")
    assert point.fmr_ci == pytest.approx((0, 1 - 0.025 ** (1 / 200)))


def test_cllr_comes_from_the_llr_column() -> None:
    table = simulated(failed=10, seed=2)
    llr = (table.score - 0.35) * 20
    summary = summarize(dataclasses.replace(table, llr=llr), replicates=50)
    kept = table.scored
    assert summary.cllr == cllr(llr[kept & table.same], llr[kept & ~table.same])
    assert summary.min_cllr <= summary.cllr
    low, high = summary.intervals["cllr"]
    assert low < summary.cllr < high


def test_groups_share_one_threshold() -> None:
    table = simulated(failed=20, seed=4)
    group = texts("xyz"[k % 3] for k in range(400))
    table = dataclasses.replace(table, group=group)
    summary = summarize(table, replicates=0)
    assert summary.group_threshold == summary.thresholds["1e-2"]
    assert [g.group for g in summary.groups] == ["x", "y", "z"]
    for g in summary.groups:
        own = (group == g.group) & table.scored
        assert g.fmr == np.mean(table.score[own & ~table.same] >= summary.group_threshold)
        assert g.fnmr == np.mean(table.score[own & table.same] < summary.group_threshold)
        assert g.failures == int(((group == g.group) & ~table.scored).sum())
        assert g.fmr_ci[0] <= g.fmr <= g.fmr_ci[1]
    shipped = with_points(table, (0.4, 1e-3, (0.0, 1.0)))
    assert summarize(shipped, replicates=0).group_threshold == 0.4


def test_a_group_of_one_kind_has_no_curve() -> None:
    table = simulated()
    table = dataclasses.replace(table, group=texts("mated" if s else "other" for s in table.same))
    mated, other = summarize(table, replicates=0).to_dict()["groups"]
    assert (mated["fmr"], mated["auc"], other["fnmr"]) == (None, None, None)
    assert mated["fnmr"] is not None


def test_a_list_without_scores_is_refused() -> None:
    table = simulated(4)
    nothing = dataclasses.replace(
        table, score=np.full(4, np.nan), failure=texts(["no-face (a)"] * 4)
    )
    with pytest.raises(DataError, match=r"simulated.*0 mated and 0 non-mated"):
        summarize(nothing)
