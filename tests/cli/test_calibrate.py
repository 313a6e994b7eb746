"""``visavis calibrate`` as users call it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.decision.conftest import few_half_samples, simulate

from visavis.gallery.records import NewFace
from visavis.gallery.sqlite.store import SqliteGallery
from visavis.pipeline import PhotoResult, Recognizer
from visavis.types import Face, Quality, Template

__all__ = ["few_half_samples"]


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of people whose photos are empty files, embedded as simulated templates.

    Four hundred and fifty people with two photos each; photos named ``blank`` have no face.
    """
    vectors, who = simulate(
        np.random.default_rng(0), 450, each=2, dimension=128, noise=0.4, center=0.5
    )
    table: dict[str, np.ndarray] = {}
    for k, person in enumerate(who):
        path = tmp_path / "people" / f"p{person:04d}" / f"{k % 2}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        table[f"{path.parent.name}/{path.name}"] = vectors[k]
    (tmp_path / "people" / "p0000" / "blank.jpg").touch()
    face = Face((0, 0, 9, 9), np.zeros((5, 2), np.float32), 1.0)
    quality = Quality(60, 100, 0.5, 0.2, 0, 0, 0, 1)

    def embed_many(
        self: Recognizer, photos: Sequence[Path], **options: object
    ) -> Iterator[PhotoResult]:
        for path in photos:
            key = f"{path.parent.name}/{path.name}"
            if key in table:
                template = Template(
                    table[key], self.model, self.model_sha256, face, quality, str(path)
                )
                yield PhotoResult(str(path), (template,))
            else:
                yield PhotoResult(str(path), (), "no-face", f"{path}: no face found; look at it")

    monkeypatch.setattr(Recognizer, "embed_many", embed_many)
    return tmp_path / "people"


def test_labelled_photos_become_a_named_calibration(run, simulated: Path) -> None:
    outcome = run("calibrate", simulated, "--name", "gate", "--dataset", "the gate", "--json")
    assert outcome.code == 0, outcome.err
    made = outcome.json
    assert made["people"] == 450
    assert made["photos"] == 900
    assert made["failures"] == 1
    assert made["dataset"] == "the gate"
    assert "blank.jpg" in outcome.err
    assert "1 no-face" in outcome.err
    assert str(simulated.parent) not in made["command"]
    targets = [p["target_fmr"] for p in made["points"]]
    assert {0.1, 0.01, 0.001, 0.0001} <= set(targets)
    listed = run("calibrate", "--list", "--json").json
    assert {"gate", "sface-lfw"} <= {one["name"] for one in listed}
    assert run("calibrate", "--delete", "gate").code == 0
    assert run("calibrate", "--delete", "gate").code == 2


def test_a_people_list_restricts_the_folders(run, simulated: Path, tmp_path: Path) -> None:
    names = tmp_path / "list.txt"
    names.write_text("150\n" + "".join(f"p{k:04d}\t2\n" for k in range(150)), encoding="utf-8")
    out = tmp_path / "some.json"
    words = ("calibrate", simulated, "--people-list", names, "--name", "some", "--out", out)
    outcome = run(*words, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["people"] == 150
    assert json.loads(out.read_text(encoding="utf-8"))["people"] == 150


def test_a_rate_that_the_people_cannot_support_is_refused(run, simulated: Path) -> None:
    outcome = run("calibrate", simulated, "--name", "gate", "--fmr", "1e-9")
    assert outcome.code == 2
    assert "people" in outcome.err.splitlines()[-1]
    assert "Traceback" not in outcome.err
    assert run("calibrate", "--list").out.count("gate") == 0


def test_pairs_without_names_do_too(run, simulated: Path, tmp_path: Path) -> None:
    rows = ["a,b,same"]
    rows += [f"p{k:04d}/0.jpg,p{k:04d}/1.jpg,1" for k in range(300)]
    rows += [f"p{k:04d}/0.jpg,p{k + j:04d}/1.jpg,0" for k in range(300) for j in (1, 2, 3, 5, 8)]
    table = tmp_path / "pairs.csv"
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    outcome = run("calibrate", "--pairs", table, "--root", simulated, "--name", "list", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["points"][0]["pairs"] == 1500
    assert outcome.json["people"] == 308


@pytest.mark.usefixtures("few_half_samples")
def test_unlabelled_check_and_use(run, simulated: Path, tmp_path: Path) -> None:
    # Simulated templates are far from photos of faces: LFW's thresholds do not hold.
    few = tmp_path / "few"
    for k in range(100):
        shutil.copytree(simulated / f"p{k:04d}", few / f"p{k:04d}")
    checked = run("calibrate", "--check", few, "--json")
    assert checked.code == 1, checked.err
    assert checked.json["trusted"] is False
    assert checked.json["failures"] == 1
    assert "calibrate --unlabelled" in checked.json["remedy"]
    assert "was measured with" not in checked.err
    otherwise = run("calibrate", "--check", few, "--flip")
    assert otherwise.out.startswith("not trusted")
    assert "sface-lfw' was measured with" in otherwise.err
    moved = run("calibrate", "--unlabelled", few, "--name", "mine", "--json")
    assert moved.code == 0, moved.err
    assert moved.json["method"] == "unlabelled"
    again = run("calibrate", "--check", few, "--calibration", "mine", "--json")
    assert again.code == 0
    assert again.json["trusted"] is True
    # A calibration made without labels is no reference for another.
    other = run("calibrate", "--unlabelled", few, "--name", "other", "--calibration", "mine")
    assert other.code == 2
    assert "without labels" in other.err


def test_what_identify_advises_works(run, simulated: Path, tmp_path: Path) -> None:
    """Twenty people enrolled, photos of another kind: a warning, and its remedy."""
    gallery, few = tmp_path / "door.gallery", tmp_path / "few"
    asked = [simulated / f"p{k:04d}" / "1.jpg" for k in (1, 400)]  # enrolled; a stranger
    recognizer = Recognizer()
    enrolled = [simulated / f"p{k:04d}" / "0.jpg" for k in range(1, 21)]
    with SqliteGallery(gallery, create=True) as store:
        store.add(
            [
                NewFace(path.parent.name, row.templates[0].vector, "sface", recognizer.model_sha256)
                for path, row in zip(enrolled, recognizer.embed_many(enrolled), strict=True)
            ]
        )
    before = run("identify", *asked, "--gallery", gallery, "--json")
    assert before.code == 1, before.err
    (warning,) = [w for w in before.json["warnings"] if "calibrate" in w and "95 %" in w]
    assert "`visavis calibrate --unlabelled DIR --name NAME`" in warning
    assert "--calibration NAME" in warning
    for k in range(100):
        shutil.copytree(simulated / f"p{300 + k:04d}", few / f"p{300 + k:04d}")
    made = run("calibrate", "--unlabelled", few, "--name", "gate", "--json")
    assert made.code == 0, made.err
    supported = made.json["supported_fpirs"]
    assert [one["people"] for one in supported] == [10, 100, 1000]
    assert all(one["lowest"] <= 0.01 for one in supported)
    after = run("identify", *asked, "--gallery", gallery, "--calibration", "gate", "--json")
    assert after.code == 1, after.err
    assert after.json["fpir"] == 0.01
    assert not [w for w in after.json["warnings"] if "calibrate" in w]
    known, stranger = (photo["faces"][0] for photo in after.json["photos"])
    assert (known["person"], stranger["person"]) == ("p0001", None)
    assert known["threshold"]["calibration"] == "gate"


def test_a_calibration_on_few_people_says_what_it_supports(
    run, simulated: Path, tmp_path: Path
) -> None:
    few, gallery = tmp_path / "few", tmp_path / "door.gallery"
    for k in range(1, 61):
        shutil.copytree(simulated / f"p{k:04d}", few / f"p{k:04d}")
    made = run("calibrate", few, "--name", "few")
    assert made.code == 0, made.err
    assert "not supported" in made.out
    recognizer = Recognizer()
    asked = simulated / "p0101" / "1.jpg"
    enrolled = [simulated / f"p{k:04d}" / "0.jpg" for k in range(101, 111)]
    with SqliteGallery(gallery, create=True) as store:
        store.add(
            [
                NewFace(path.parent.name, row.templates[0].vector, "sface", recognizer.model_sha256)
                for path, row in zip(enrolled, recognizer.embed_many(enrolled), strict=True)
            ]
        )
    here = ("identify", asked, "--gallery", gallery, "--calibration", "few")
    # What nobody asked for is replaced by what can be kept; what is asked for is refused.
    found = run(*here, "--json")
    assert found.code == 0, found.err
    rate = found.json["fpir"]
    assert 0.01 < rate < 0.5
    assert f"{rate:g}, is used" in found.err
    refused = run(*here, "--fpir", "0.01")
    assert refused.code == 2
    assert f"ask for {rate:g} or more" in refused.err
    assert run(*here, "--fpir", f"{rate:g}").code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give one of DIR"),
        (("x", "--check", "y"), "give one of DIR"),
        (("missing",), "give --name NAME"),
        (("missing", "--name", "a"), "not a folder"),
        (("--unlabelled", "missing", "--name", "a"), "not a folder"),
        (("--check", "missing"), "not a folder"),
        (("--unlabelled", "missing", "--name", "sface-lfw"), "choose another"),
        (("--pairs", "missing.csv", "--name", "a"), "missing.csv"),
        (("--delete", "nobody"), "no saved calibration"),
    ],
)
def test_bad_calls_are_one_line(run, tmp_path: Path, monkeypatch, arguments, said) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run("calibrate", *arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_too_few_photos_are_said_to_be(run, simulated: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    for k in range(1, 20):
        shutil.copytree(simulated / f"p{k:04d}", few / f"p{k:04d}")
    outcome = run("calibrate", "--check", few)
    assert outcome.code == 2
    assert "38 photos" in outcome.err


@pytest.mark.orl
@pytest.mark.slow
def test_real_photos_of_another_camera(run, orl: Path) -> None:
    checked = run("calibrate", "--check", orl, "--json").json
    assert checked["photos"] == 400
    # 40 people, ten photos each: 1,800 mated pairs.
    assert checked["suspected_mated_pairs"] == pytest.approx(1800, rel=0.05)
    refused = run("calibrate", orl, "--name", "orl", "--fmr", "1e-5")
    assert refused.code == 2
    assert "people" in refused.err
    assert run("calibrate", "--unlabelled", orl, "--name", "orl").code == 0
    same = run("verify", orl / "s1" / "1.pgm", orl / "s1" / "2.pgm", "--calibration", "orl")
    assert same.code == 0, same.err


@pytest.mark.lfw
@pytest.mark.slow
def test_faces_behind_glasses_are_warned_of_and_plain_ones_not(
    run, lfw: Path, tmp_path: Path
) -> None:
    lines = (lfw / "peopleDevTest.txt").read_text(encoding="utf-8").splitlines()[1:]
    names = [line.split("\t")[0] for line in lines][::7][:220]
    plain, barred = tmp_path / "plain", tmp_path / "barred"
    plain.mkdir()
    barred.mkdir()
    for name in names:
        photo = lfw / "lfw-deepfunneled" / name / f"{name}_0001.jpg"
        shutil.copy(photo, plain)
        pixels = np.array(Image.open(photo))
        pixels[98:122, 88:118] = pixels[98:122, 132:162] = 20
        Image.fromarray(pixels).save(barred / photo.name, quality=95)
    assert run("calibrate", "--check", plain).code == 0
    warned = run("calibrate", "--check", barred, "--json")
    assert warned.code == 1
    row = next(r for r in warned.json["rates"] if r["claimed_fmr"] == 1e-3)
    assert row["factor"] > 3
    assert row["factor_interval"][0] > 2
    assert row["right_threshold"] > row["threshold"]


def test_one_damaged_calibration_does_not_hide_the_others(run, home: Path) -> None:
    folder = home / "calibrations"
    folder.mkdir(parents=True)
    (folder / "cut.json").write_text('{"schema": 1, "name": "cu')
    (folder / "folder.json").mkdir()
    listed = run("calibrate", "--list", "--json")
    assert listed.code == 1
    assert [one["name"] for one in listed.json] == ["sface-lfw", "sface-lfw-bf16"]
    first, second = listed.err.splitlines()
    assert str(folder / "cut.json") in first
    assert str(folder / "folder.json") in second
    assert run("verify", "a.jpg", "b.jpg", "--calibration", "cut").code == 2
    assert run("calibrate", "--delete", "cut").code == 0
    assert run("calibrate", "--delete", "folder").code == 2
