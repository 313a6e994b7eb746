from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from visavis.decision.labelled import Provenance, calibrate
from visavis.decision.llr import LlrCalibration
from visavis.decision.pair_scores import all_pairs
from visavis.decision.profile import Calibration, CalibrationStore
from visavis.errors import (
    CalibrationError,
    ModelMismatchError,
    OptionError,
    UnknownCalibrationError,
    UnsupportedFmrError,
)
from visavis.types import OperatingPoint


@pytest.fixture(scope="module")
def made() -> Calibration:
    from tests.decision.conftest import simulate

    x, who = simulate(np.random.default_rng(0), 250, each=2)
    return calibrate(
        all_pairs(x, who), Provenance("toy", "net", "a" * 64, "plain", "toys", 500), replicates=100
    )


def test_a_calibration_holds_what_its_points_say(made) -> None:
    assert [p.target_fmr for p in made.points] == sorted(
        (p.target_fmr for p in made.points), reverse=True
    )
    assert {1e-1, 1e-2, 1e-3} <= {p.target_fmr for p in made.points}
    for point in made.points:
        assert point.fmr <= point.target_fmr
        assert point.pairs == 500 * 499 // 2 - 250
        assert point.fmr_ci[0] <= point.fmr <= point.fmr_ci[1]


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rate=st.floats(2e-3, 0.9))
def test_between_two_points_the_stricter_one_is_given(made, rate) -> None:
    point = made.operating_point(rate)
    assert point.fmr <= rate
    assert point.target_fmr == rate


@pytest.mark.parametrize("number", [np.float32, np.float64, np.float16])
def test_rates_may_be_numpys(made, number) -> None:
    point = made.operating_point(number(0.01))
    assert type(point.target_fmr) is float
    assert point == made.operating_point(float(number(0.01)))


def test_below_the_support_it_refuses(made) -> None:
    with pytest.raises(UnsupportedFmrError):
        made.operating_point(1e-6)
    with pytest.raises(OptionError):
        made.operating_point(0)


@settings(max_examples=30, deadline=None)
@given(
    threshold=st.floats(-1, 1),
    fmr=st.floats(1e-7, 0.5),
    fnmr=st.one_of(st.just(float("nan")), st.floats(0, 1)),
    llrs=st.lists(st.floats(-20, 20), min_size=2, max_size=5).map(sorted),
    text=st.text(max_size=20),
)
def test_json_gives_back_what_was_written(threshold, fmr, fnmr, llrs, text) -> None:
    point = OperatingPoint("m", "s", threshold, fmr, (0.0, 1.0), fnmr, text, 7, fmr)
    evidence = LlrCalibration("isotonic", tuple(np.linspace(0, 1, len(llrs))), tuple(llrs))
    before = Calibration(
        "x", "m", "s", "p", "labelled", (point,), (evidence,), {"q": (1.0,)}, dataset=text
    )
    after = Calibration.from_json(before.to_json())
    assert after.to_json() == before.to_json()
    assert after.points[0].threshold == threshold
    assert after.evidence == (evidence,)


def test_the_store_keeps_lists_and_deletes(made, tmp_path: Path) -> None:
    store = CalibrationStore(tmp_path)
    store.save(made)
    assert "toy" in store.names()
    assert store.load("toy").to_json() == made.to_json()
    store.save(replace(made, dataset="anew"))
    assert store.load("toy").dataset == "anew"
    store.delete("toy")
    with pytest.raises(UnknownCalibrationError):
        store.load("toy")
    with pytest.raises(UnknownCalibrationError):
        store.delete("toy")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 65, "a b"])
def test_names_that_are_no_file_names_are_refused(made, tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionError, match="calibration name"):
        CalibrationStore(tmp_path).save(replace(made, name=name))


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"schema": 99}', '{"schema": 1}'])
def test_damaged_files_are_refused(text: str, tmp_path: Path) -> None:
    store = CalibrationStore(tmp_path)
    (tmp_path / "calibrations").mkdir()
    (tmp_path / "calibrations" / "bad.json").write_text(text, encoding="utf-8")
    with pytest.raises(CalibrationError, match="visavis calibrate"):
        store.load("bad")


def test_the_shipped_calibration_is_sound() -> None:
    shipped = CalibrationStore(Path("nowhere")).load("sface-lfw")
    assert shipped.model == "sface"
    assert shipped.people == 4038
    assert shipped.points[0].pairs > 45_000_000
    for rate in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6):
        point = shipped.operating_point(rate)
        assert 0.9 * rate <= point.fmr <= rate
    with pytest.raises(OptionError, match="shipped"):
        CalibrationStore(Path("nowhere")).save(shipped)
    with pytest.raises(ModelMismatchError):
        shipped.require_model("other", "b" * 64)


def test_one_of_levelled_templates_is_listed_and_decides_nothing(made, tmp_path: Path) -> None:
    store = CalibrationStore(tmp_path)
    former = replace(made, name="net", pipeline_id=f"{made.pipeline_id} levelled 0123abcd")
    store.save(former)
    assert store.names()[-1] == "net"
    assert store.load("net") == former
    used = store.for_model("net", model="net", model_sha256="a" * 64, pipeline_id=made.pipeline_id)
    for one in (used, store.own("net", "a" * 64)):
        with pytest.raises(ModelMismatchError, match=r"'net'.*0123abcd"):
            one.require_model("net", "a" * 64)
    made.require_model("net", "a" * 64)
