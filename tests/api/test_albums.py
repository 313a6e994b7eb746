"""``cluster`` and ``PhotoAlbum``: what the commands do, from Python."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import visavis as vv
from visavis.errors import DataError, ImageNotFoundError, OptionError


@pytest.fixture
def photos(tmp_path: Path, portrait: np.ndarray) -> Path:
    """One person in three photos, twice in one of them, and a file that is none."""
    root = tmp_path / "photos"
    root.mkdir()
    Image.fromarray(portrait).save(root / "a.png")
    Image.fromarray((portrait * 0.8).astype(np.uint8)).save(root / "b.png")
    Image.fromarray(np.concatenate([portrait, portrait], axis=1)).save(root / "collage.png")
    (root / "broken.jpg").write_bytes(b"no photo")
    return root


def test_an_album_is_corrected_saved_and_opened_again(
    photos: Path, tmp_path: Path, home: Path
) -> None:
    told: list[str] = []
    out = tmp_path / "sorted"
    album = vv.cluster(photos, out=out, home=home, progress=lambda name, *_: told.append(name))
    assert dict.fromkeys(told) == {"photos": None, "pictures": None}
    assert [len(one.faces) for one in album.clusters] == [
        2,
        2,
    ]  # two faces of one photo are two people
    first, second = (one.id for one in album.clusters)
    assert album.labels.tolist().count(first) == 2
    assert [face.cluster for face in album.faces] == album.labels.tolist()
    assert album.contact_sheet.is_file()
    assert album.to_dict()["counts"]["failed"] == 1

    done = album.merge(first, second)
    assert done.notes, "one photo shows the person twice"
    assert set(album.labels) == {first}
    on_disk = json.loads((out / "clusters.json").read_text(encoding="utf-8"))
    assert len(on_disk["clusters"]) == 2, "results are written when they are saved"
    album.name(first, "Anna")
    assert album.save() == album.contact_sheet
    assert (out / "people" / "Anna").is_dir()

    again = vv.PhotoAlbum(out, home=home)
    assert [one.name for one in again.clusters] == ["Anna"]
    np.testing.assert_array_equal(again.labels, album.labels)
    assert again.clusters[0].cohesion == pytest.approx(album.clusters[0].cohesion, abs=1e-5)
    face = again.faces[0].id
    split = again.split("Anna", face)
    assert split.correction.kind == "split"
    assert len(again.clusters) == 2
    other = again.labels[0]
    again.move(f"f{face}", to="Anna")
    again.not_a_face("collage.png#2")
    assert sorted(again.labels.tolist()) == [-1, first, first, first]
    assert other not in again.labels
    again.undo()
    assert -1 not in again.labels
    rows = again.corrections()
    assert [row.kind for row in rows] == ["merge", "name", "split", "move", "not-a-face"]
    assert [row.undone for row in rows] == [False] * 4 + [True]
    assert rows[2].replaced_by == rows[3].id

    later = vv.cluster(photos, out=out, home=home)
    assert [one.name for one in later.clusters] == ["Anna"], "corrections hold at later runs"
    gone = later.forget()
    assert "album.sqlite" in gone.erased
    assert list(out.iterdir()) == []
    with pytest.raises(DataError, match=str(out)):
        again.undo()


def test_a_cluster_becomes_a_person_and_names_the_next_album(
    photos: Path, tmp_path: Path, home: Path
) -> None:
    out = tmp_path / "sorted"
    album = vv.cluster(photos, out=out, home=home, cache=False, pictures=False)
    main = album.clusters[0].id
    with pytest.raises(OptionError, match="name"):
        album.enroll(main, tmp_path / "family")
    assert not (tmp_path / "family").exists(), "no gallery is made of nothing"
    with vv.Gallery(tmp_path / "family", create=True, home=home) as people:
        done = album.enroll(main, people, name="Anna")
        assert (done.cluster, done.person, done.enrolled) == (main, "Anna", 2)
        assert [person.name for person in people.people()] == ["Anna"]
        assert album.enroll("Anna", people).enrolled == 0
        fresh = vv.cluster(photos, out=tmp_path / "new", home=home, gallery=people, pictures=False)
        named = {one.name: one for one in fresh.clusters}
        assert named["Anna"].named_by == "gallery"
    by_place = vv.cluster(
        photos, out=tmp_path / "third", home=home, gallery=tmp_path / "family", pictures=False
    )
    assert "Anna" in {one.name for one in by_place.clusters}
    assert by_place.record.settings.gallery == str(tmp_path / "family")


def test_what_cannot_be_is_refused_before_the_work(
    photos: Path, tmp_path: Path, home: Path
) -> None:
    out = tmp_path / "out"
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageNotFoundError):
        vv.cluster(tmp_path / "empty", out=out, home=home)
    with pytest.raises(OptionError):
        vv.cluster(photos, out=photos / "a.png", home=home)
    with pytest.raises(OptionError):
        vv.cluster(photos, out=out, home=home, false_merge=7)
    with pytest.raises(DataError, match="empty"):
        vv.PhotoAlbum(tmp_path / "empty", home=home)
    assert not out.exists()
