"""From one model to another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from visavis.errors import GalleryError, ModelMismatchError, OptionError
from visavis.gallery.sqlite.store import SqliteGallery
from visavis.identification import Enroller, EnrollOptions, Migration, PersonPhoto
from visavis.identification.migration import progress, target
from visavis.identification.models import model_to_enroll
from visavis.pipeline import Recognizer

from .conftest import tile


def fill(gallery: SqliteGallery, old: Recognizer, save, *, people: int, crops: int) -> list[Path]:
    """People with two photos each, the first ``crops`` of them with their crops kept."""
    paths = []
    for kept, numbers in ((True, range(crops)), (False, range(crops, people))):
        photos = [
            PersonPhoto(f"p{k}", save(f"{k}-{n}.png", tile(k, n))) for k in numbers for n in (0, 1)
        ]
        paths += [photo.photo for photo in photos]
        options = EnrollOptions(keep_crops=kept)
        assert all(row.there for row in Enroller(gallery, old, options=options).enroll(photos))
    return paths


def test_from_kept_crops_to_the_end(gallery, old: Recognizer, new: Recognizer, save) -> None:
    paths = fill(gallery, old, save, people=5, crops=5)
    assert target(gallery) is None
    change = Migration(gallery, new)
    calls = []
    found = change.run(report=lambda *at: calls.append(at))
    assert (found.embedded, found.people, found.migrated, found.old_faces) == (10, 5, 5, 10)
    assert found.complete
    assert calls[-1] == (10, 10)
    assert target(gallery) == ("new", new.model_sha256)
    # As if they had been enrolled with the new model, up to resampling twice.
    for path, face in zip(paths, gallery.faces(model_sha256=new.model_sha256), strict=True):
        assert face.photo == str(path)
        assert face.vector @ new.embed(path)[0].vector > 0.97
        assert face.pipeline_id == new.pipeline_id
        assert face.has_crop
    assert change.run().embedded == 0  # nothing is done twice
    before = {p.name: p.id for p in gallery.people()}
    assert change.finish() == 10
    assert set(gallery.info().faces) == {new.model_sha256}
    assert {p.name: p.id for p in gallery.people()} == before
    assert target(gallery) is None
    assert gallery.check().ok
    with pytest.raises(OptionError, match="templates only"):
        Migration(gallery, new)


def test_a_full_disk_at_the_very_end(
    gallery, old: Recognizer, new: Recognizer, save, monkeypatch
) -> None:
    """The old templates are gone, the note that it is finished is not written: it can be."""
    fill(gallery, old, save, people=2, crops=2)
    change = Migration(gallery, new)
    assert change.run().complete

    def full(*_: object, **__: object) -> None:
        raise GalleryError("the disk is full", "make room")

    with monkeypatch.context() as patch:
        patch.setattr(gallery, "note", full)
        with pytest.raises(GalleryError, match="full"):
            change.finish()
    assert set(gallery.info().faces) == {new.model_sha256}
    assert target(gallery) == ("new", new.model_sha256)
    assert Migration(gallery, new).finish() == 0
    assert target(gallery) is None


def test_without_crops_both_stay(
    gallery, old: Recognizer, new: Recognizer, tiles_home: Path, save
) -> None:
    paths = fill(gallery, old, save, people=6, crops=2)
    assert model_to_enroll(gallery, home=tiles_home) == "old"
    change = Migration(gallery, new)
    found = change.run()
    assert (found.embedded, found.migrated, found.complete) == (4, 2, False)
    assert found.waiting == ("p2", "p3", "p4", "p5")
    assert model_to_enroll(gallery, home=tiles_home) == "new"
    with pytest.raises(GalleryError, match="4 of 6 people") as raised:
        change.finish()
    assert "p2" in str(raised.value)
    photos = [PersonPhoto(f"p{k}", paths[2 * k]) for k in range(2, 6)]
    assert all(row.status == "enrolled" for row in Enroller(gallery, new).enroll(photos))
    assert progress(gallery, "new", new.model_sha256).complete
    assert change.finish() == 12


def test_it_goes_on_where_it_was_stopped(
    gallery, old: Recognizer, new: Recognizer, save, monkeypatch
) -> None:
    fill(gallery, old, save, people=6, crops=6)
    monkeypatch.setattr("visavis.identification.migration._BATCH", 4)

    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise Stop

    with pytest.raises(Stop):
        Migration(gallery, new).run(report=stop)
    assert gallery.info().faces[new.model_sha256] == 4
    found = Migration(gallery, new).run()
    assert found.embedded == 8
    sources = [f.photo_sha256 for f in gallery.faces(model_sha256=new.model_sha256)]
    assert len(sources) == len(set(sources)) == 12


def test_begun_without_any_crop(gallery, old: Recognizer, new: Recognizer, save) -> None:
    fill(gallery, old, save, people=2, crops=0)
    with pytest.raises(ModelMismatchError):
        Enroller(gallery, new)
    assert Migration(gallery, new).run().embedded == 0
    Enroller(gallery, new)  # welcome now
    assert [e.details["event"] for e in gallery.audit() if e.action == "migrate"] == ["begun"]


def test_a_person_removed_meanwhile_stays_removed(
    gallery, old: Recognizer, new: Recognizer, save, monkeypatch
) -> None:
    fill(gallery, old, save, people=3, crops=3)
    add = gallery.add

    def removed_before(faces):
        gallery.remove("p1")
        return add(faces)

    monkeypatch.setattr(gallery, "add", removed_before)
    found = Migration(gallery, new).run()
    assert [p.name for p in gallery.people()] == ["p0", "p2"]
    assert found.embedded == 4
    assert found.complete


def test_expiry_and_quality_score_are_kept(gallery, old: Recognizer, new: Recognizer, save) -> None:
    options = EnrollOptions(keep_crops=True, expires="2040-01-01T00:00:00+00:00", min_quality=0)
    dark = (tile(1) * 0.2).astype(np.uint8) + 1
    Enroller(gallery, old, options=options).enroll_one(PersonPhoto("Ann", save("1.png", dark)))
    Migration(gallery, new).run()
    before, after = gallery.faces()
    assert (after.expires, after.quality_score) == (before.expires, before.quality_score)
    assert after.model == "new"


def test_an_empty_gallery(gallery, new: Recognizer) -> None:
    with pytest.raises(OptionError, match="is empty"):
        Migration(gallery, new)
