"""Names for faces, or nobody we know."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import isnan
from pathlib import Path

import numpy as np
import pytest

from visavis.decision.open_set import open_set
from visavis.errors import (
    ModelMismatchError,
    NoFaceError,
    OptionError,
    SeveralFacesError,
    UnknownCalibrationError,
    UnknownModelError,
    UnsupportedFmrError,
)
from visavis.gallery.records import NewFace
from visavis.gallery.sqlite.store import SqliteGallery
from visavis.identification import (
    Enroller,
    EnrollOptions,
    Identifier,
    IdentifyOptions,
    Migration,
    PersonPhoto,
    recognizers,
    suggest_splits,
)
from visavis.pipeline import Recognizer

from .conftest import SIDE, TileDetector, tile

PEOPLE = 30


@pytest.fixture
def enrolled(gallery: SqliteGallery, old: Recognizer, save) -> SqliteGallery:
    """People 0..29 with two photos each."""
    photos = [
        PersonPhoto(f"p{k:02}", save(f"{k}-{n}.png", tile(k, n)))
        for k in range(PEOPLE)
        for n in range(2)
    ]
    assert all(row.there for row in Enroller(gallery, old).enroll(photos))
    return gallery


def test_known_and_unknown(enrolled: SqliteGallery, old: Recognizer, save) -> None:
    identifier = Identifier(enrolled, [old], options=IdentifyOptions(fpir=0.05, top=3))
    known, stranger = identifier.identify(save("probe.png", tile(7, 5), tile(500, 0))).faces
    assert known.person == "p07"
    assert stranger.person is None
    assert [len(face.candidates) for face in (known, stranger)] == [3, 3]
    assert known.candidates[0].faces == 2
    for face in (known, stranger):
        first, second, third = face.candidates
        assert first.score >= second.score >= third.score
        assert (face.score, face.fpir, face.llr) == (first.score, first.fpir, first.llr)
        assert face.margin == first.score - second.score
        assert (face.score >= face.threshold.threshold) == (face.person is not None)
        assert face.threshold.fpir == 0.05
        assert face.threshold.people == PEOPLE
    assert known.fpir <= 0.05 < stranger.fpir
    assert "likelier if these are the same person" in known.evidence
    assert stranger.face.box == (SIDE, 0.0, SIDE, SIDE)


@pytest.mark.parametrize("fusion", ["max", "mean", "weighted"])
def test_candidates_are_those_of_brute_force(
    enrolled: SqliteGallery, old: Recognizer, save, fusion: str
) -> None:
    path = save("probe.png", tile(12, 9))
    options = IdentifyOptions(fpir=0.05, top=PEOPLE, fusion=fusion)
    (face,) = Identifier(enrolled, [old], options=options).identify(path).faces
    probe = old.embed(path)[0].vector.astype(float)
    want = {}
    for person in enrolled.people():
        own = list(enrolled.faces(person=person.name))
        vectors = np.array([f.vector for f in own], dtype=float)
        weights = [f.quality_score for f in own] if fusion == "weighted" else [1.0] * len(own)
        mean = np.average(vectors, axis=0, weights=weights)
        want[person.name] = (
            (vectors @ probe).max() if fusion == "max" else mean @ probe / np.linalg.norm(mean)
        )
    assert {c.person: c.score for c in face.candidates} == pytest.approx(want, abs=1e-4)
    gallery = open_set(
        people=PEOPLE,
        templates=2,
        fusion=fusion,
        calibration=old.calibration,
        own=enrolled.non_mated(model_sha256=old.model_sha256, fusion=fusion),
    )
    assert face.threshold.threshold == gallery.point(0.05).threshold
    assert face.fpir == pytest.approx(float(gallery.fpir(face.score)))


def test_templates_are_matched_as_their_photos_are(
    enrolled: SqliteGallery, old: Recognizer, new: Recognizer, save
) -> None:
    path = save("probe.png", tile(7, 5), tile(500, 0))
    identifier = Identifier(enrolled, [old], options=IdentifyOptions(fpir=0.05, audit=True))
    faces = identifier.identify(path).faces
    vectors = np.stack([one.vector for one in old.embed(path, rule="all")])
    for face, found in zip(faces, identifier.match(vectors), strict=True):
        assert found.point == face.threshold
        assert found.candidates[: len(face.candidates)] == face.candidates
        assert (found.excess >= 0) == (face.person is not None)
    by_photo, by_vector = list(enrolled.audit(action="identify"))
    assert by_vector.details["faces"] == by_photo.details["faces"]
    assert by_vector.subject == by_photo.subject == enrolled.person("p07").id
    with pytest.raises(OptionError):
        identifier.match(vectors * 2)
    with pytest.raises(ModelMismatchError):
        identifier.match(np.eye(2, dtype=np.float32))
    enrolled.add([NewFace("p00", vectors[0], "new", new.model_sha256)])
    with pytest.raises(OptionError, match="several models"):
        Identifier(enrolled, [old, new]).match(vectors)


def test_nobody_matches_in_an_empty_gallery(gallery: SqliteGallery, old: Recognizer) -> None:
    vector = np.zeros((1, 32), np.float32)
    vector[0, 0] = 1
    assert Identifier(gallery, [old]).match(vector) == []


def test_many_photos_and_bad_ones(enrolled: SqliteGallery, old: Recognizer, save, tmp_path) -> None:
    text = tmp_path / "text.png"
    text.write_text("no photo")
    paths = [
        save("a.png", tile(3, 4)),
        text,
        save("none.png", np.zeros((SIDE, SIDE, 3), np.uint8)),
        save("b.png", tile(4, 4), tile(5, 4)),
    ]
    identifier = Identifier(enrolled, [old])
    calls = []
    rows = list(identifier.identify_many(paths, progress=lambda *at: calls.append(at)))
    assert [row.photo for row in rows] == [str(path) for path in paths]
    assert [row.reason for row in rows] == [None, "not-an-image", "no-face", None]
    assert [[face.person for face in row.faces] for row in rows] == [
        ["p03"], [], [], ["p04", "p05"],
    ]  # fmt: skip
    assert [row.named for row in rows] == [True, False, False, True]
    assert calls[-1] == (4, 4)
    alone = identifier.identify(paths[3])
    assert [f.person for f in alone.faces] == ["p04", "p05"]
    for one, other in zip(alone.faces, rows[3].faces, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-5)
    with pytest.raises(NoFaceError):
        identifier.identify(paths[2])
    refusing = Identifier(enrolled, [old], options=IdentifyOptions(rule="refuse"))
    with pytest.raises(SeveralFacesError):
        refusing.identify(paths[3])


def test_an_empty_gallery_knows_nobody(gallery, old: Recognizer, save) -> None:
    (face,) = Identifier(gallery, [old]).identify(save("a.png", tile(1))).faces
    assert face.person is None
    assert face.threshold is None
    assert face.candidates == ()
    assert isnan(face.score)
    assert face.to_dict()["score"] is None
    # The first enrollment is seen at once.
    identifier = Identifier(gallery, [old], options=IdentifyOptions(refresh=1e9))
    identifier.identify(save("a.png", tile(1)))
    Enroller(gallery, old).enroll_one(PersonPhoto("Ann", save("b.png", tile(1, 1))))
    assert identifier.identify(save("a.png", tile(1))).faces[0].person == "Ann"


def test_two_names_for_one_person_are_told(enrolled, old: Recognizer, save) -> None:
    Enroller(enrolled, old).enroll_one(PersonPhoto("alias", save("x.png", tile(8, 3))))
    (face,) = Identifier(enrolled, [old]).identify(save("y.png", tile(8, 6))).faces
    assert {face.person, face.candidates[1].person} == {"p08", "alias"}
    assert any("above the threshold, too" in sentence for sentence in face.warnings)


def test_the_audit_names_nobody(enrolled, old: Recognizer, save) -> None:
    path = save("a.png", tile(3, 4), tile(600))
    before = enrolled.info().audit_entries
    Identifier(enrolled, [old]).identify(path)
    assert enrolled.info().audit_entries == before
    identifier = Identifier(enrolled, [old], options=IdentifyOptions(audit=True))
    identifier.identify(path)
    list(identifier.identify_many([path]))
    import hashlib

    for entry in list(enrolled.audit())[before:]:
        assert entry.action == "identify"
        assert entry.subject == enrolled.person("p03").id
        assert entry.details["photo_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        first, second = entry.details["faces"]
        assert first["person"] == entry.subject
        assert second is None
        assert "p03" not in str(entry.details)
    assert enrolled.info().audit_entries == before + 2


def test_two_models_side_by_side(
    enrolled, old: Recognizer, new: Recognizer, tiles_home: Path, save
) -> None:
    with pytest.raises(OptionError):
        Migration(enrolled, old)
    Migration(enrolled, new).run()
    photos = [PersonPhoto(f"n{k}", save(f"n{k}.png", tile(200 + k))) for k in range(10)]
    photos.append(PersonPhoto("p00", save("again.png", tile(0, 3))))
    assert all(row.there for row in Enroller(enrolled, new).enroll(photos))
    both = Identifier(enrolled, [old, new], options=IdentifyOptions(fpir=0.05, top=50))
    probe = save("probe.png", tile(204, 2), tile(9, 2), tile(0, 4), tile(700))
    only_new, only_old, in_both, nobody = both.identify(probe).faces
    assert [f.person for f in (only_new, only_old, in_both, nobody)] == ["n4", "p09", "p00", None]
    assert only_new.candidates[0].model == "new"
    assert only_old.candidates[0].model == "old"
    # Each model has half of the rate, and its own people.
    for face, recognizer, people in ((only_old, old, PEOPLE), (only_new, new, 11)):
        own = enrolled.non_mated(model_sha256=recognizer.model_sha256)
        faces = enrolled.info().faces[recognizer.model_sha256]
        gallery = open_set(
            people=people, templates=faces / people, calibration=recognizer.calibration, own=own
        )
        assert face.threshold.threshold == gallery.point(0.025).threshold
    names = [c.person for c in nobody.candidates]
    assert len(names) == len(set(names)) == PEOPLE + 10
    # Never across: each candidate's score is one of its own model.
    vectors = {r.model: r.embed(probe, rule="all")[1].vector for r in (old, new)}
    for c in only_old.candidates[:8]:
        own = [f for f in enrolled.faces(person=c.person) if f.model == c.model]
        mean = np.average([f.vector for f in own], axis=0, weights=[f.quality_score for f in own])
        assert c.score == pytest.approx(mean @ vectors[c.model] / np.linalg.norm(mean), abs=1e-4)
    rows = list(both.identify_many([probe, probe]))
    assert [[f.person for f in row.faces] for row in rows] == [["n4", "p09", "p00", None]] * 2
    alone = Identifier(enrolled, [old])
    assert any("templates of new" in sentence for sentence in alone.warnings())


def test_recognizers_of_a_gallery(enrolled, old: Recognizer, tiles_home: Path) -> None:
    (found,) = recognizers(enrolled, home=tiles_home, calibrations=("old-tiles",))
    assert found.model_sha256 == old.model_sha256
    assert found.calibration.name == "old-tiles"
    with pytest.raises(ModelMismatchError):
        recognizers(enrolled, model="new", home=tiles_home)
    with pytest.raises(ModelMismatchError, match="'new-tiles'"):
        recognizers(enrolled, home=tiles_home, calibrations=("new-tiles",))
    with pytest.raises(UnknownModelError, match="nonesuch"):
        recognizers(enrolled, model="nonesuch", home=tiles_home)
    with pytest.raises(UnknownModelError, match="visavis models add old"):
        recognizers(enrolled, home=tiles_home / "elsewhere")


def test_rates_that_cannot_be_supported(enrolled, old: Recognizer, tiles_home: Path, save) -> None:
    identifier = Identifier(enrolled, [old], options=IdentifyOptions(fpir=1e-9))
    with pytest.raises(UnsupportedFmrError, match="1e-09"):
        list(identifier.identify_many([save("a.png", tile(1))]))
    plain = Recognizer(model="old", detector=TileDetector(), home=tiles_home)
    with pytest.raises(UnknownCalibrationError):
        Identifier(enrolled, [plain]).require_supported()
    new = Recognizer(model="new", detector=TileDetector(), home=tiles_home)
    Enroller(enrolled, old, options=EnrollOptions(keep_crops=True)).enroll_one(
        PersonPhoto("kept", save("k.png", tile(90)))
    )
    Migration(enrolled, new).run()
    both = Identifier(enrolled, [old, new])
    assert any("new are not looked at" in sentence for sentence in both.warnings())
    assert both.identify(save("b.png", tile(90, 1))).faces[0].person == "kept"


def test_a_rate_that_nobody_asked_for_is_the_lowest_supported_and_told(
    enrolled, old: Recognizer, tiles_home: Path, save
) -> None:
    assert old.calibration is not None
    points = tuple(p for p in old.calibration.points if p.target_fmr > 2e-3)
    little = replace(old.calibration, points=points)  # as if made on few people
    lowest = open_set(
        people=PEOPLE,
        templates=2,
        calibration=little,
        own=enrolled.non_mated(model_sha256=old.model_sha256),
    ).lowest
    assert 0.012 < lowest < 0.5
    coarse = Recognizer(model="old", detector=TileDetector(), calibration=little, home=tiles_home)
    with pytest.raises(UnsupportedFmrError):  # what is asked for is kept to, or refused
        Identifier(enrolled, [coarse], options=IdentifyOptions(fpir=0.01)).require_supported()
    identifier = Identifier(enrolled, [coarse], options=IdentifyOptions(audit=True))
    identifier.require_supported()
    assert lowest <= identifier.fpir() <= 1.1 * lowest
    assert any(f"{identifier.fpir():g}" in sentence for sentence in identifier.warnings())
    (face,) = identifier.identify(save("probe.png", tile(7, 5))).faces
    assert face.person == "p07"
    assert face.threshold.fpir == identifier.fpir()
    assert list(enrolled.audit())[-1].details["fpir"] == identifier.fpir()
    asked = Identifier(enrolled, [coarse], options=IdentifyOptions(fpir=identifier.fpir()))
    asked.require_supported()
    assert not any("lowest" in sentence for sentence in asked.warnings())


def test_own_scores_count_in_a_larger_gallery(gallery, old: Recognizer) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 32)) + 1.2  # people who resemble each other more than tiles do
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    gallery.add([NewFace(f"p{k}", v, "old", old.model_sha256) for k, v in enumerate(vectors)])
    for own, probes in ((True, 300), (False, 0)):
        options = IdentifyOptions(fpir=0.1, own_scores=own)
        identifier = Identifier(gallery, [old], options=options)
        (face,) = identifier.identify(tile(1)).faces
        assert face.threshold.probes == probes
    measured = gallery.non_mated(model_sha256=old.model_sha256)
    scores = vectors.astype(float) @ vectors.T.astype(float) - 2 * np.eye(300)
    assert np.sort(measured) == pytest.approx(np.sort(scores.max(1)), abs=1e-4)


def test_settings_that_differ_are_told(enrolled, old: Recognizer, tiles_home: Path) -> None:
    from visavis.pipeline import RecognizerOptions

    assert Identifier(enrolled, [old]).warnings() == ()
    flipped = Recognizer(
        model="old", detector=TileDetector(), calibration=old.calibration,
        options=RecognizerOptions(flip=True), home=tiles_home,
    )  # fmt: skip
    enrolled_with, measured_with = Identifier(enrolled, [flipped]).warnings()
    assert "people were enrolled with" in enrolled_with
    assert "visavis calibrate" in measured_with
    assert "use the same --detector and --flip" in enrolled_with
    enrolling = Enroller(enrolled, flipped).warnings()
    assert "people were enrolled with" in enrolling[0]
    assert "visavis calibrate" in enrolling[1]


@pytest.fixture
def levelled(enrolled: SqliteGallery, old: Recognizer) -> SqliteGallery:
    """A gallery to which a former version added one person among thirty."""
    face = next(enrolled.faces(person="p03"))
    former = f"{old.pipeline_id} levelled 0123abcd"
    enrolled.add([NewFace("former", face.vector, old.model, old.model_sha256, former)])
    return enrolled


def test_levelled_templates_of_a_former_version_are_compared_with_nothing(
    levelled: SqliteGallery, old: Recognizer, save
) -> None:
    levelled.rename("former", "merged")  # this compares nothing
    levelled.merge("merged", "p03")
    identifier = Identifier(levelled, [old], options=IdentifyOptions(refresh=0))
    path = save("probe.png", tile(7, 5))
    for compare in (
        identifier.require_supported,
        identifier.warnings,
        lambda: identifier.identify(path),
        lambda: list(identifier.identify_many([path])),
        lambda: Enroller(levelled, old),
        lambda: suggest_splits(levelled, "merged"),
    ):
        with pytest.raises(ModelMismatchError, match="0123abcd"):
            compare()
    levelled.remove("merged")
    assert identifier.identify(path).faces[0].person == "p07"
    assert Enroller(levelled, old).enroll_one(PersonPhoto("new", path)).there


def test_levelled_templates_do_not_keep_from_another_model(
    levelled: SqliteGallery, old: Recognizer, new: Recognizer, save
) -> None:
    Migration(levelled, new).run()
    photos = [PersonPhoto(f"p{k:02}", save(f"n{k}.png", tile(k, 2))) for k in range(PEOPLE)]
    assert all(row.there for row in Enroller(levelled, new).enroll(photos))
    path = save("probe.png", tile(7, 5))
    assert Identifier(levelled, [new]).identify(path).faces[0].person == "p07"
    with pytest.raises(ModelMismatchError, match="levelled"):
        Identifier(levelled, [new, old]).identify(path)
    with pytest.raises(ModelMismatchError, match="levelled"):
        Migration(levelled, old)


def test_from_several_threads(enrolled, old: Recognizer, save) -> None:
    identifier = Identifier(enrolled, [old])
    paths = [save(f"t{k}.png", tile(k % PEOPLE, 11)) for k in range(40)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(identifier.identify, paths))
    assert [a.faces[0].person for a in answers] == [f"p{k % PEOPLE:02}" for k in range(40)]


@pytest.mark.parametrize(
    "wrong", [{"fpir": 0}, {"fpir": 1}, {"top": 0}, {"fusion": "sum"}, {"rule": "best-match"}]
)
def test_options_are_checked(wrong: dict) -> None:
    with pytest.raises(OptionError):
        IdentifyOptions(**wrong)


def test_one_recognizer_a_model(gallery, old: Recognizer) -> None:
    for given in ([], [old, old]):
        with pytest.raises(OptionError, match="recognizers"):
            Identifier(gallery, given)


def test_a_poor_probe_is_told(enrolled, old: Recognizer, save) -> None:
    dark = (tile(1) * 0.1).astype(np.uint8) + 1
    (face,) = Identifier(enrolled, [old]).identify(save("dark.png", dark)).faces
    assert any("brightness" in sentence for sentence in face.warnings)
    assert EnrollOptions().min_quality > 0


def test_a_person_who_was_just_removed_is_not_matched(
    enrolled: SqliteGallery, old: Recognizer
) -> None:
    """The gallery's size is read again after a moment; what is searched is always current."""
    identifier = Identifier(enrolled, [old], options=IdentifyOptions(audit=True))
    vector = next(enrolled.faces()).vector[None]
    assert identifier.match(vector)[0].best is not None
    for person in list(enrolled.people()):
        enrolled.remove(person.name)
    (found,) = identifier.match(vector)
    assert (found.candidates, found.best) == ((), None)
