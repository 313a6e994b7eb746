"""A damaged calibration never decides anything: it is refused, with its file and field."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visavis.decision.llr import LlrCalibration
from visavis.decision.non_mated_model import NonMatedModel
from visavis.decision.profile import Calibration, CalibrationStore
from visavis.errors import CalibrationError, UnsupportedFmrError
from visavis.types import OperatingPoint

RATES = (0.5, 0.1, 0.03, 0.01, 0.001)
SCORES = (-1.0, 0.1, 0.29, 0.3, 0.41, 0.55, 1.0)


def _point(rate: float, threshold: float) -> OperatingPoint:
    ends = (rate / 2, rate)
    return OperatingPoint(
        "net", "a" * 64, threshold, rate * 0.9, ends, 0.02, "toys", 1000, rate, 50, 60, (0, 0.1), 1,
        "yunet, plain",
    )  # fmt: skip


WHOLE = Calibration(
    "toy",
    "net",
    "a" * 64,
    "plain",
    "labelled",
    (_point(0.1, 0.3), _point(0.01, 0.4), _point(0.001, 0.5)),
    (LlrCalibration("isotonic", (0.1, 0.3, 0.5), (-3.0, 0.0, 6.0)),),
    {
        "quantiles": (0.1, 0.5, 0.9),
        "non_mated": (-0.1, 0.0, 0.2),
        "mated": (0.4, 0.6, 0.7),
        "shape": (0.1, 0.0, 0.1, 0.0),
        "person_scores": (0.1, 0.3),
        "person_fmr": (0.1, 0.01),
        "person_spread": (0.3, 0.2),
        "person_count": (50.0,),
    },
    dataset="toys",
    people=50,
    photos=100,
)
TEXT = WHOLE.to_json()


def answers(made: Calibration) -> list[Any]:
    """Everything that decisions take from a calibration."""
    found: list[Any] = [made.model_sha256, made.pipeline_id, made.reference]
    for rate in RATES:
        try:
            point = made.operating_point(rate)
        except UnsupportedFmrError:
            found.append(None)
        else:
            found += [point.threshold, point.fmr, point.fmr_ci, point.fnmr, point.fnmr_ci]
    found.append(made.llr(SCORES).tolist() if made.evidence else None)
    non_mated = NonMatedModel.from_reference(made.reference) or NonMatedModel.from_points(
        made.points
    )
    found.append(non_mated.log_fmr(SCORES).tolist())
    return found


def places(plain: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where the values below a value are, inner and outer ones."""
    if not isinstance(plain, (dict, list)):
        return []
    inside = plain.items() if isinstance(plain, dict) else enumerate(plain)
    return [place for key, value in inside for place in ((*at, key), *places(value, (*at, key)))]


PLACES = places(json.loads(TEXT))
JUNK: list[Any] = [
    *(None, True, "", "0.4", "nan", [], [[]], {}, {"threshold": 0.4}, 0, -5, 0.77, 2, -1e-9),
    *(10**25, 1e300, 10**4000, [None], [0.1, "x"], "a" * 64),
]


def put(plain: Any, place: tuple[Any, ...], value: Any, *, drop: bool = False) -> None:
    *way, last = place
    for key in way:
        plain = plain[key]
    if drop:
        del plain[last]
    else:
        plain[last] = value


@settings(max_examples=200, deadline=None)
@given(place=st.sampled_from(PLACES), value=st.sampled_from(JUNK), drop=st.booleans())
def test_any_value_replaced_or_left_out(place: tuple[Any, ...], value: Any, drop: bool) -> None:
    plain = json.loads(TEXT)
    put(plain, place, value, drop=drop)
    _same_or_refused(json.dumps(plain))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_bytes_flipped_cut_or_put_in(data: st.DataObject) -> None:
    raw = bytearray(TEXT.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        until = data.draw(st.integers(at, min(len(raw), at + 60)))
        raw[at:until] = data.draw(st.binary(max_size=4) | st.sampled_from([b"NaN", b"1e999", b"-"]))
        raw = raw or bytearray(b" ")
    _same_or_refused(raw.decode("utf-8", "replace"))


def _same_or_refused(text: str) -> None:
    refused = None
    try:
        made = Calibration.from_json(text, source="toy.json")
    except CalibrationError as error:
        refused = str(error)
    if refused is None:
        assert answers(made) == answers(WHOLE)
    else:
        assert refused.startswith("toy.json: ")
        assert len(refused) < 400


@settings(max_examples=200, deadline=None)
@given(place=st.sampled_from(PLACES), value=st.sampled_from(JUNK))
def test_without_a_checksum_what_is_taken_is_in_range(place: tuple[Any, ...], value: Any) -> None:
    """Files of former versions have none."""
    plain = json.loads(TEXT)
    put(plain, place, value)
    plain.pop("sha256", None)
    try:
        made = Calibration.from_json(json.dumps(plain))
    except CalibrationError:
        return
    answers(made)
    previous = (1.0, -2.0)
    for point in made.points:
        assert 0 <= point.fmr <= point.target_fmr <= previous[0]
        assert previous[1] <= point.threshold <= 1.0001
        previous = (point.target_fmr, point.threshold)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("points", 1, "threshold"), None),
        (("points", 1, "threshold"), -5),
        (("points", 1, "threshold"), "0.4"),
        (("points", 1, "threshold"), True),
        (("points", 1, "threshold"), 0.29),  # below that of a higher rate
        (("points", 0, "fmr"), 1.2),
        (("points", 0, "fmr"), -0.1),
        (("points", 2, "fmr"), 0.05),  # above its target
        (("points", 0, "fmr_ci"), [0.2, 0.1]),
        (("points", 0, "fmr_ci"), [0.1]),
        (("points", 0, "fnmr"), 3),
        (("points", 0, "pairs"), 1.5),
        (("points", 0, "pairs"), 10**30),
        (("points",), []),
        (("points",), {}),
        (("points", 1), None),
        (("evidence", 0, "scores"), [0.1, 0.3]),
        (("evidence", 0, "scores"), [0.5, 0.3, 0.1]),
        (("evidence", 0, "llrs"), [1, 0, 2]),
        (("reference",), []),
        (("reference", "shape"), [1, 2, 3]),
        (("reference", "person_fmr"), [0.1, 0]),
        (("reference", "person_fmr"), [0.1]),
        (("people",), "many"),
        (("pipeline_id",), None),
        (("model_sha256",), 7),
    ],
)
def test_the_message_names_file_and_field(
    place: tuple[Any, ...], value: Any, tmp_path: Path
) -> None:
    plain = json.loads(TEXT)
    put(plain, place, value)
    path = tmp_path / "calibrations" / "toy.json"
    path.parent.mkdir()
    path.write_text(json.dumps(plain), encoding="utf-8")
    with pytest.raises(CalibrationError) as caught:
        CalibrationStore(tmp_path).load("toy")
    # Of two columns that do not agree, either may be named.
    field = str(place[0])
    assert str(path) in caught.value.got
    assert f"{path}: {field}" in caught.value.got
    assert "visavis calibrate" in caught.value.remedy


def test_files_of_former_versions_are_read() -> None:
    plain = json.loads(TEXT)
    del plain["sha256"]
    assert Calibration.from_json(json.dumps(plain)) == WHOLE


def test_names_of_former_versions_are_read() -> None:
    """Until schema 3, ``pipeline_id`` was ``settings``; the checksum was of those names."""
    former = renamed(WHOLE.to_dict(), "pipeline_id", "settings") | {"schema": 2}
    compact = json.dumps(former, sort_keys=True, separators=(",", ":"))
    former["sha256"] = hashlib.sha256(compact.encode()).hexdigest()
    read = Calibration.from_json(json.dumps(former))
    assert read == WHOLE
    assert read.points[1].pipeline_id == "yunet, plain"
    changed = json.dumps(former).replace('"threshold": 0.4,', '"threshold": 0.41,')
    with pytest.raises(CalibrationError, match="not those that were written"):
        Calibration.from_json(changed)


def renamed(plain: Any, before: str, after: str) -> Any:
    if isinstance(plain, dict):
        items = plain.items()
        return {after if k == before else k: renamed(v, before, after) for k, v in items}
    return [renamed(one, before, after) for one in plain] if isinstance(plain, list) else plain


def test_a_plausible_value_is_noticed_too() -> None:
    with pytest.raises(CalibrationError, match="written"):
        Calibration.from_json(TEXT.replace('"threshold": 0.4,', '"threshold": 0.41,'))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["pipe", "folder", "loop", "dangling", "not-utf-8", "device"])
def test_what_is_no_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "calibrations" / "toy.json"
    path.parent.mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "not-utf-8":
        path.write_bytes(TEXT.encode("utf-16"))
    else:
        path.symlink_to({"loop": path, "dangling": tmp_path / "x", "device": "/dev/zero"}[kind])
    store = CalibrationStore(tmp_path)
    assert "toy" in store.names()
    with pytest.raises(CalibrationError, match=str(path)):
        store.load("toy")


def test_a_folder_that_is_none_is_an_error_and_not_empty(tmp_path: Path) -> None:
    (tmp_path / "calibrations").write_text("a file")
    store = CalibrationStore(tmp_path)
    for call in (store.names, lambda: store.load("toy"), lambda: store.delete("toy")):
        with pytest.raises(CalibrationError, match="calibrations"):
            call()
    with pytest.raises(CalibrationError, match="calibrations"):
        store.save(WHOLE)
    assert store.load("sface-lfw").people == 4038  # what is shipped needs no folder


def test_the_shipped_calibration_of_the_pipeline_is_taken_else_the_first(tmp_path: Path) -> None:
    store = CalibrationStore(tmp_path)
    plain, half = store.load("sface-lfw"), store.load("sface-lfw-bf16")
    assert half.pipeline_id == f"{plain.pipeline_id}, bf16"
    assert (half.people, half.model_sha256) == (plain.people, plain.model_sha256)
    for pipeline, name in (
        (plain.pipeline_id, "sface-lfw"),
        (half.pipeline_id, "sface-lfw-bf16"),
        ("another", "sface-lfw"),
    ):
        found = store.for_model(
            None, model="sface", model_sha256=plain.model_sha256, pipeline_id=pipeline
        )
        assert found.name == name


def test_a_save_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    CalibrationStore(tmp_path).save(WHOLE)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CalibrationError, match="No space left"):
        CalibrationStore(tmp_path).save(WHOLE)
    monkeypatch.undo()
    assert [file.name for file in (tmp_path / "calibrations").iterdir()] == ["toy.json"]
    assert CalibrationStore(tmp_path).load("toy") == WHOLE
