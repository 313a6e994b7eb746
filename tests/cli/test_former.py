"""What former versions wrote with levelled templates is named and refused, never compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import Outcome, Run
from tests.cli.test_models_directory import write_directory

from visavis.decision.profile import Calibration, CalibrationStore
from visavis.pipeline import Recognizer

LEVELLED = " levelled 0123abcd"
Former = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def former(monkeypatch: pytest.MonkeyPatch) -> Former:
    """Commands inside ``with former():`` write pipeline ids as a version that levelled did."""
    plain = Recognizer.pipeline_id.fget

    @contextmanager
    def version():
        with monkeypatch.context() as patch:
            patch.setattr(Recognizer, "pipeline_id", property(lambda self: plain(self) + LEVELLED))
            yield

    return version


@pytest.fixture
def album(tmp_path: Path, portrait: np.ndarray) -> Path:
    """One person in two photos."""
    folder = tmp_path / "album"
    folder.mkdir()
    for k, share in enumerate((1.0, 0.8)):
        Image.fromarray((portrait * share).astype(np.uint8)).save(folder / f"{k}.png")
    return folder


def refused(outcome: Outcome, *words: str) -> None:
    assert outcome.code == 2
    assert outcome.out == ""
    *warnings, line = outcome.err.splitlines()
    assert all(warning.startswith("warning: ") for warning in warnings)
    assert line.startswith("visavis: ")
    for word in (LEVELLED.strip(), *words):
        assert word in line


def test_galleries(run: Run, former: Former, album: Path, tmp_path: Path) -> None:
    photo, darker = sorted(album.iterdir())
    place = tmp_path / "door.gallery"
    to = ("--gallery", place)
    assert run("enroll", photo, "--name", "Zoë", *to).code == 0
    with former():
        assert run("enroll", darker, "--name", "Anna", *to).code == 0
    for command in (
        ("identify", darker),
        ("enroll", darker, "--name", "Bob"),
        ("cluster", album, "--out", tmp_path / "sorted"),
    ):
        refused(run(*command, *to), str(place), "enroll everybody again", "new gallery")
    shown = run("gallery", "info", *to)
    assert shown.code == 0
    assert "2 people" in shown.out
    assert "enroll everybody again" in shown.err
    info = run("gallery", "info", "--json", *to).json
    (pipeline_id,) = info["levelled"].values()
    assert pipeline_id.endswith(LEVELLED)
    assert list(info["levelled"]) == list(info["faces"])
    # What compares nothing goes on, and so does everything once these templates are gone.
    assert run("gallery", "backup", tmp_path / "copy", *to).code == 0
    assert run("gallery", "check", *to).code == 0
    assert run("gallery", "rekey", "--generate", tmp_path / "new.key", *to).code == 0
    to = (*to, "--key-file", tmp_path / "new.key")
    assert run("people", "rename", "Anna", "Anna Petrova", *to).code == 0
    assert run("people", "remove", "Anna Petrova", "--yes", *to).code == 0
    assert run("gallery", "info", "--json", *to).json["levelled"] == {}
    assert "Zoë" in run("identify", darker, *to).out


def test_exports(run: Run, former: Former, photo: Path, darker: Path, tmp_path: Path) -> None:
    file, old, new = (tmp_path / name for name in ("people.visavis", "old", "new"))
    assert run("enroll", photo, "--name", "Zoë", "--gallery", old).code == 0
    with former():
        assert run("enroll", darker, "--name", "Anna", "--gallery", old).code == 0
    assert run("gallery", "export", file, "--gallery", old).code == 0
    refused(run("gallery", "import", file, "--gallery", new), file.name, "enroll everybody again")
    assert not new.exists()
    # Nor does a gallery of levelled templates take plain ones.
    run("people", "remove", "Anna", "--yes", "--gallery", old)
    assert run("gallery", "export", file, "--overwrite", "--gallery", old).code == 0
    with former():
        assert run("enroll", darker, "--name", "Anna", "--gallery", new).code == 0
    refused(run("gallery", "import", file, "--gallery", new), str(new), "enroll everybody again")
    assert [
        person["name"] for person in run("people", "list", "--json", "--gallery", new).json
    ] == ["Anna"]


def test_collections(run: Run, former: Former, album: Path, tmp_path: Path) -> None:
    out, place = tmp_path / "sorted", tmp_path / "family"
    with former():
        assert run("cluster", album, "--out", out).code == 0
    enroll = ("cluster", "fix", out, "enroll", 1, "--name", "Zoë", "--gallery", place)
    refused(run(*enroll), "--anew")
    assert not place.exists()
    refused(run("cluster", album, "--out", out), "--anew")
    assert run("cluster", "fix", out, "name", 1, "Zoë").code == 0
    assert run("cluster", album, "--out", out, "--anew").code == 0
    assert (out / "people" / "Zoë").is_dir()
    assert run("cluster", album, "--out", out).code == 0
    with former():
        assert run("enroll", album / "0.png", "--name", "Anna", "--gallery", place).code == 0
    refused(run(*enroll), str(place), "new gallery")


def test_calibrations(run: Run, home: Path, album: Path, tmp_path: Path) -> None:
    photo, darker = sorted(album.iterdir())
    shipped = CalibrationStore().load("sface-lfw")
    pipeline_id = f"detector, crop, plain{LEVELLED}"
    CalibrationStore(home).save(replace(shipped, name="gate", pipeline_id=pipeline_id))
    place = tmp_path / "gallery"
    assert run("enroll", photo, "--name", "Zoë", "--gallery", place).code == 0
    use = ("--calibration", "gate")
    for command in (
        ("verify", photo, darker),
        ("identify", darker, "--gallery", place),
        ("enroll", darker, "--name", "Anna", "--gallery", place),
        ("cluster", album, "--out", tmp_path / "sorted"),
        ("calibrate", "--check", album),
    ):
        refused(run(*command, *use), "'gate'", "calibrate again")
    assert "gate" in run("calibrate", "--list").out


def test_models(run: Run, home: Path, photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    entry = write_directory(folder)
    told = {"schema": 1, "model": {**entry.to_dict(), "levelling": "sface"}}
    (folder / "model.json").write_text(json.dumps(told))
    points = folder / "operating_points.json"
    plain = Calibration.read(points)
    points.write_text(replace(plain, pipeline_id=plain.pipeline_id + LEVELLED).to_json())
    added = run("models", "add", folder)
    assert added.code == 0
    assert "no operating points that can be used" in added.out
    assert "trained" not in CalibrationStore(home).names()
    # As a former version left it: the calibration was kept beside the model.
    CalibrationStore(home).save(Calibration.read(points))
    refused(run("verify", photo, photo, "--model", "trained"), "'trained'", "calibrate again")
