"""Galleries are searched about a mean: their own, or a calibration's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from visavis.decision.domain import Domain
from visavis.decision.labelled import Provenance, calibrate_people
from visavis.decision.open_set import open_set
from visavis.decision.profile import Calibration
from visavis.gallery.crypto.key import Key
from visavis.gallery.sqlite.store import SqliteGallery
from visavis.identification import (
    Enroller,
    Identifier,
    IdentifyOptions,
    PersonPhoto,
    suggest_splits,
)
from visavis.pipeline import Recognizer

from .conftest import TileDetector, tile


@pytest.fixture(scope="module")
def centered(old: Recognizer) -> Calibration:
    """Of tiles of any kind: plain, and what was measured about their mean."""
    tiles = np.stack([tile(20_000 + k // 2, k % 2) for k in range(300)])
    crops = np.concatenate([old.prepare(t).crops for t in tiles])
    made = Provenance("any", "old", old.model_sha256, old.pipeline_id, "tiles", len(tiles))
    return calibrate_people(old.embedder.embed(crops), np.arange(300) // 2, made, center=False)


def using(calibration: Calibration, home: Path) -> Recognizer:
    return Recognizer(model="old", detector=TileDetector(), calibration=calibration, home=home)


def enroll(store: SqliteGallery, recognizer: Recognizer, save, people: range, photos: int = 2):
    wanted = [
        PersonPhoto(f"p{k:02}", save(f"{k}-{n}.png", tile(k, n)))
        for k in people
        for n in range(photos)
    ]
    rows = list(Enroller(store, recognizer).enroll(wanted))
    assert all(row.there for row in rows)
    return rows


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def templates(store: SqliteGallery) -> dict[str, np.ndarray]:
    found: dict[str, list[np.ndarray]] = {}
    for face in store.faces():
        found.setdefault(face.person, []).append(face.vector.astype(float))
    return {person: np.array(own) for person, own in found.items()}


def own_mean(store: SqliteGallery) -> np.ndarray:
    people = [own.mean(axis=0) for own in templates(store).values()]
    return np.sum(people, axis=0) / (len(people) + 10)


def embedded(recognizer: Recognizer, photo: Path) -> np.ndarray:
    prepared = recognizer.prepare(photo)
    return recognizer.embedder.embed(prepared.crops)[0].astype(float)


def scores(store: SqliteGallery, probe: np.ndarray, mean: np.ndarray, other: np.ndarray):
    """Score of each person's mean template about ``mean`` with the probe about ``other``."""
    return {
        person: float(unit(unit(own - mean).mean(axis=0)) @ unit(probe - other))
        for person, own in templates(store).items()
    }


def test_people_are_compared_about_the_gallerys_own_mean(
    gallery, old: Recognizer, centered: Calibration, tiles_home: Path, save
) -> None:
    recognizer = using(centered, tiles_home)
    enroll(gallery, recognizer, save, range(30))
    identifier = Identifier(
        gallery, [recognizer], options=IdentifyOptions(fpir=0.1, top=30, fusion="mean")
    )
    path = save("probe.png", tile(12, 9))
    (face,) = identifier.identify(path).faces
    mean = own_mean(gallery)
    expected = scores(gallery, embedded(recognizer, path), mean, mean)
    assert face.person == "p12"
    assert {one.person: one.score for one in face.candidates} == pytest.approx(expected, abs=1e-5)
    assert face.threshold.mean == "gallery"
    assert face.threshold.to_dict()["mean"] == "gallery"
    assert "the gallery's own mean" in face.threshold.basis
    # The threshold and the chance are measured about the same mean.
    domain = Domain(mean.astype(np.float32), 30, 30)
    own = gallery.non_mated(model_sha256=old.model_sha256, fusion="mean", domain=domain)
    made = open_set(
        people=30, templates=2, fusion="mean", calibration=centered.about(domain), own=own,
        own_mean=True,
    )  # fmt: skip
    assert face.threshold.threshold == made.point(0.1).threshold
    assert face.fpir == pytest.approx(float(made.fpir(face.score)), rel=1e-4)
    assert face.llr == pytest.approx(float(centered.about(domain).llr(face.score)), rel=1e-4)


def test_too_few_people_have_no_mean_that_says_anything(
    gallery, centered: Calibration, tiles_home: Path, save
) -> None:
    recognizer = using(centered, tiles_home)
    options = IdentifyOptions(fpir=0.1, top=30, fusion="mean")
    identifier = Identifier(gallery, [recognizer], options=options)
    path = save("probe.png", tile(3, 9))
    (face,) = identifier.identify(path).faces
    assert face.threshold is None
    for people, mean in ((1, "none"), (9, "none"), (10, "gallery"), (12, "gallery")):
        have = len(list(gallery.people()))
        enroll(gallery, recognizer, save, range(have, people))
        about = own_mean(gallery) if mean == "gallery" else np.zeros(32)
        for one in (identifier, Identifier(gallery, [recognizer], options=options)):
            one._known = None  # the gallery's size is not to be out of date here
            (face,) = one.identify(path).faces
            assert face.threshold.mean == mean
            expected = scores(gallery, embedded(recognizer, path), about, about)
            got = {candidate.person: candidate.score for candidate in face.candidates}
            assert got == pytest.approx(expected, abs=1e-5)


def test_the_mean_follows_those_who_come_and_go(
    gallery, centered: Calibration, tiles_home: Path, save
) -> None:
    recognizer = using(centered, tiles_home)
    enroll(gallery, recognizer, save, range(24), photos=1)
    options = IdentifyOptions(fpir=0.1, top=40, refresh=0)
    identifier = Identifier(gallery, [recognizer], options=options)
    path = save("probe.png", tile(3, 9))
    identifier.identify(path)
    for change in (
        lambda: enroll(gallery, recognizer, save, range(24, 30), photos=1),
        lambda: [gallery.remove(f"p{k:02}") for k in range(5, 12)],
    ):
        change()
        (face,) = identifier.identify(path).faces
        (fresh,) = Identifier(gallery, [recognizer], options=options).identify(path).faces
        mean = own_mean(gallery)
        expected = scores(gallery, embedded(recognizer, path), mean, mean)
        got = {candidate.person: candidate.score for candidate in face.candidates}
        assert got == pytest.approx(expected, abs=1e-5)
        assert face.threshold == fresh.threshold


@pytest.mark.parametrize("sides", [1, 2])
def test_a_calibration_that_has_a_mean_is_used_in_a_gallery_of_any_size(
    gallery, centered: Calibration, tiles_home: Path, save, sides: int
) -> None:
    rng = np.random.default_rng(3)
    mean, other = (unit(rng.normal(size=32)).astype(np.float32) * 0.4 for _ in range(2))
    domain = Domain(mean, 200, 200, mean_b=other if sides == 2 else None)
    recognizer = using(centered.about(domain), tiles_home)
    path = save("probe.png", tile(2, 9))
    for people in (2, 12):
        enroll(gallery, recognizer, save, range(len(list(gallery.people())), people))
        options = IdentifyOptions(fpir=0.1, top=12, fusion="mean")
        (face,) = Identifier(gallery, [recognizer], options=options).identify(path).faces
        expected = scores(gallery, embedded(recognizer, path), mean, other if sides == 2 else mean)
        got = {one.person: one.score for one in face.candidates}
        assert got == pytest.approx(expected, abs=1e-5)
        assert face.threshold.mean == "calibration"
        assert "the calibration's mean" in face.threshold.basis


def test_faces_to_enroll_are_compared_in_the_same_space(
    gallery, centered: Calibration, tiles_home: Path, save
) -> None:
    rng = np.random.default_rng(4)
    mean = (unit(rng.normal(size=32)) * 0.4).astype(np.float32)
    for calibration, about in ((centered.about(Domain(mean, 9, 9)), mean), (centered, None)):
        recognizer = using(calibration, tiles_home)
        have = len(list(gallery.people()))
        enroll(gallery, recognizer, save, range(have, have + 15), photos=1)
        center = own_mean(gallery) if about is None else about
        path = save(f"again {have}.png", tile(have + 4, 1))
        (row,) = Enroller(gallery, recognizer).enroll([PersonPhoto(f"p{have + 4:02}", path)])
        before, after = templates(gallery)[f"p{have + 4:02}"]
        expected = float(unit(before - center) @ unit(after - center))
        assert row.own_score == pytest.approx(expected, abs=1e-5)
        assert row.warnings == ()
        (wrong,) = Enroller(gallery, recognizer).enroll(
            [PersonPhoto(f"p{have + 5:02}", save(f"wrong {have}.png", tile(have + 6, 1)))]
        )
        assert wrong.resembles == f"p{have + 6:02}"
        center = own_mean(gallery) if about is None else about
        (group,) = [
            one.score
            for one in suggest_splits_of(gallery, recognizer, f"p{have + 5:02}", tiles_home)
        ]
        own = templates(gallery)[f"p{have + 5:02}"]
        assert group == pytest.approx(
            float(unit(own[0] - center) @ unit(own[1] - center)), abs=1e-5
        )


def suggest_splits_of(gallery, recognizer: Recognizer, name: str, home: Path):
    from visavis.decision.profile import CalibrationStore

    CalibrationStore(home).save(replace(recognizer.calibration, name="splitting"))
    return suggest_splits(gallery, name, calibration="splitting", home=home)


def test_an_encrypted_gallery_of_two_models(
    tmp_path: Path, new: Recognizer, centered: Calibration, tiles_home, save
) -> None:
    """One model's calibration knows of means, the other's does not: each answers in its space."""
    from visavis.identification import Migration

    recognizer = using(centered, tiles_home)
    key = Key(bytes(range(32)))
    with SqliteGallery(tmp_path / "secret", create=True, key=key) as store:
        enroll(store, recognizer, save, range(12))
        Migration(store, new).run()
        enroll(store, new, save, range(6))
    with SqliteGallery(tmp_path / "secret", key=key) as store:
        options = IdentifyOptions(fpir=0.1, top=12)
        identifier = Identifier(store, [recognizer, new], options=options)
        (face,) = identifier.identify(save("probe.png", tile(8, 9))).faces
        assert face.person == "p08"
        assert face.threshold.mean == "gallery"
        assert {one.model for one in face.candidates} <= {"old", "new"}
