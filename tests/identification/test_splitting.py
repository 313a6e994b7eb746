"""Which templates under one name are somebody else's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from visavis.errors import UnknownCalibrationError, UnknownPersonError
from visavis.gallery.sqlite.store import SqliteGallery
from visavis.identification import Enroller, EnrollOptions, Migration, PersonPhoto, suggest_splits
from visavis.pipeline import Recognizer

from .conftest import tile


def fill(gallery: SqliteGallery, recognizer: Recognizer, save, who: list[int]) -> list[int]:
    """Photos of these people of tiles, all as Ann's; their numbers."""
    photos = [PersonPhoto("Ann", save(f"{k}.png", tile(n, k))) for k, n in enumerate(who)]
    options = EnrollOptions(keep_crops=True)
    rows = list(Enroller(gallery, recognizer, options=options).enroll(photos))
    return [row.face for row in rows]


def test_parts_of_other_people_are_found(
    gallery, old: Recognizer, tiles_home: Path, save, monkeypatch
) -> None:
    numbers = fill(gallery, old, save, [2, 1, 1, 2, 1, 3, 1, 2])
    Enroller(gallery, old).enroll_one(PersonPhoto("Bob", save("bob.png", tile(2, 50))))
    read, asked = gallery.faces, []
    monkeypatch.setattr(gallery, "faces", lambda **of: asked.append(of) or read(**of))
    found = suggest_splits(gallery, "Ann", calibration="old-tiles", home=tiles_home)
    assert asked == [{"person": "Ann"}]
    assert [one.templates for one in found] == [
        (numbers[0], numbers[3], numbers[7]), (numbers[5],),
    ]  # fmt: skip
    assert [Path(photo).name for photo in found[0].photos] == ["0.png", "3.png", "7.png"]
    vectors = {face.id: face.vector for face in read(person="Ann")}
    for one in found:
        scores = [
            float(np.dot(vectors[a], vectors[b]))
            for a in one.templates for b in vectors.keys() - set(one.templates)
        ]  # fmt: skip
        assert one.score == pytest.approx(max(scores), abs=1e-6)
        assert one.score < one.threshold
    for one in found:
        gallery.split("Ann", one.templates, into=f"P{one.templates[0]}")
    assert suggest_splits(gallery, "Ann", calibration="old-tiles", home=tiles_home) == ()


def test_during_a_change_of_model_both_templates_of_a_photo_go(
    gallery, old: Recognizer, new: Recognizer, tiles_home: Path, save
) -> None:
    numbers = fill(gallery, old, save, [1, 1, 2])
    Migration(gallery, new).run()
    both = [face.id for face in gallery.faces() if face.photo.endswith("2.png")]
    assert len(both) == 2
    assert numbers[2] in both
    (one,) = suggest_splits(gallery, "Ann", calibration="old-tiles", home=tiles_home)
    assert one.templates == tuple(both)


def test_what_cannot_be_compared(gallery, old: Recognizer, tiles_home: Path, save) -> None:
    with pytest.raises(UnknownPersonError):
        suggest_splits(gallery, "Ann", home=tiles_home)
    fill(gallery, old, save, [1])
    assert suggest_splits(gallery, "Ann", home=tiles_home) == ()
    fill(gallery, old, save, [2, 2])
    with pytest.raises(UnknownCalibrationError):
        suggest_splits(gallery, "Ann", home=tiles_home)
