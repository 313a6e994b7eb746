"""What becomes of photos at enrollment."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visavis.errors import ModelMismatchError, OptionError, UnknownPersonError
from visavis.gallery.sqlite.store import SqliteGallery
from visavis.identification import STATUSES, Enroller, EnrollOptions, PersonPhoto
from visavis.identification.cut_out import cut_out
from visavis.identification.enroller import batches as cut
from visavis.images import decode, reading
from visavis.pipeline import Recognizer

from .conftest import SIDE, tile


def statuses(rows) -> list[str]:
    rows = list(rows)
    assert all(row.status in STATUSES for row in rows)
    return [row.status for row in rows]


def test_each_photo_has_its_status(gallery: SqliteGallery, old: Recognizer, save, tmp_path) -> None:
    black = np.zeros((SIDE, SIDE, 3), np.uint8)
    dark = np.full((SIDE, SIDE, 3), 2, np.uint8)
    text = tmp_path / "text.jpg"
    text.write_text("no photo")
    photos = [
        PersonPhoto("Ann", save("1.png", tile(1))),
        PersonPhoto("Ann", save("2.png", tile(1))),  # the same pixels, the same file
        PersonPhoto("Ann", save("3.png", black)),
        PersonPhoto("Ann", save("4.png", tile(1, 1), tile(2))),
        PersonPhoto("Ann", save("5.png", dark)),
        PersonPhoto("Ann", text),
        PersonPhoto("Ann", tmp_path / "missing.png"),
        PersonPhoto("A\x00", save("6.png", tile(3))),
        PersonPhoto("Bob", save("7.png", tile(2, 1))),
    ]
    rows = list(Enroller(gallery, old).enroll(photos))
    assert statuses(rows) == [
        "enrolled", "already-enrolled", "no-face", "several-faces", "low-quality", "unreadable",
        "unreadable", "unusable-name", "enrolled",
    ]  # fmt: skip
    assert [row.photo for row in rows] == [photo.name for photo in photos]
    for row in rows:
        assert (row.message is None) == row.there
        assert (row.face is not None) == (row.status == "enrolled")
        assert row.message is None or "\n" not in row.message
    assert "brightness" in rows[4].message
    assert rows[4].quality_score < 0.6 <= rows[0].quality_score
    assert {p.name: sum(p.faces.values()) for p in gallery.people()} == {"Ann": 1, "Bob": 1}
    kept = list(gallery.faces())
    assert [face.photo for face in kept] == [photos[0].name, photos[8].name]
    assert all(face.pipeline_id == old.pipeline_id and not face.has_crop for face in kept)
    direct = old.embed(photos[0].photo)[0].vector
    assert np.allclose(kept[0].vector, direct, atol=1e-6)


def test_a_second_run_skips_what_is_there(gallery, old: Recognizer, save) -> None:
    photos = [PersonPhoto(f"p{k}", save(f"{k}.png", tile(k))) for k in range(5)]
    enroller = Enroller(gallery, old, options=EnrollOptions(batch=2))
    assert statuses(enroller.enroll(photos[:3])) == ["enrolled"] * 3
    calls = []
    assert statuses(enroller.enroll(photos, progress=lambda *at: calls.append(at))) == [
        *["already-enrolled"] * 3, *["enrolled"] * 2,
    ]  # fmt: skip
    assert calls[-1] == (5, 5)
    assert gallery.info().people == 5
    # The same photo under another name is another enrollment, and suspicious.
    row = enroller.enroll_one(PersonPhoto("somebody else", photos[0].photo))
    assert (row.status, row.resembles) == ("enrolled", "p0")
    assert row.resembles_score == pytest.approx(1.0, abs=1e-5)


def test_faces_of_one_photo_that_are_embedded_already(gallery, old: Recognizer, save) -> None:
    """As if each had been cut out and enrolled as a photo of its own."""
    dark = np.full((SIDE, SIDE, 3), 2, np.uint8)
    photo = save("group.png", tile(1), tile(2), dark, tile(3))
    found = [
        replace(one, photo=f"face {one.face.box[0]:.0f}") for one in old.embed(photo, rule="all")
    ]
    found.sort(key=lambda one: one.face.box[0])
    sha256 = hashlib.sha256(photo.read_bytes()).hexdigest()
    people = ["Ann", "Bob", "Cem", " Dora"]
    enroller = Enroller(gallery, old)
    rows = enroller.enroll_templates(people, found, photo_sha256=sha256)
    assert statuses(rows) == ["enrolled", "enrolled", "low-quality", "unusable-name"]
    kept = list(gallery.faces())
    assert [(f.id, f.person, f.photo, f.photo_sha256) for f in kept] == [
        (rows[0].face, "Ann", "face 0", sha256), (rows[1].face, "Bob", f"face {SIDE}", sha256),
    ]  # fmt: skip
    assert kept[1].vector.tobytes() == found[1].vector.tobytes()
    assert statuses(enroller.enroll_templates(people[:2], found[:2], photo_sha256=sha256)) == [
        "already-enrolled", "already-enrolled",
    ]  # fmt: skip
    assert statuses(enroller.enroll_templates(["Ann"] * 2, found[:2], photo_sha256="0" * 64)) == [
        "enrolled", "enrolled",  # two faces of one photo for one person: the caller says so
    ]  # fmt: skip
    (row,) = enroller.enroll_templates(["Eve"], found[:1], photo_sha256="1" * 64)
    assert row.resembles == "Ann"
    with pytest.raises(ModelMismatchError):
        enroller.enroll_templates(
            ["Eve"], [replace(found[0], model_sha256="f" * 64)], photo_sha256="2" * 64
        )
    assert enroller.enroll_templates([], [], photo_sha256=sha256) == []


def test_interrupted_in_the_middle(gallery, old: Recognizer, save, monkeypatch) -> None:
    photos = [PersonPhoto(f"p{k}", save(f"{k}.png", tile(k))) for k in range(7)]
    enroller = Enroller(gallery, old, options=EnrollOptions(batch=2, workers=1))
    add, calls = gallery.add, []

    def interrupted(faces):
        calls.append(len(faces))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return add(faces)

    monkeypatch.setattr(gallery, "add", interrupted)
    rows = []
    with pytest.raises(KeyboardInterrupt):
        rows.extend(enroller.enroll(photos))
    assert statuses(rows) == ["enrolled"] * 4
    assert {p.name for p in gallery.people()} == {row.person for row in rows}
    rest = list(Enroller(gallery, old).enroll(photos))
    assert statuses(rest) == [*["already-enrolled"] * 4, *["enrolled"] * 3]


def test_looks_like_somebody_else(gallery, old: Recognizer, save) -> None:
    enroller = Enroller(gallery, old)
    first = [PersonPhoto(f"p{k}", save(f"{k}.png", tile(k))) for k in range(20)]
    rows = list(enroller.enroll(first))
    assert [row.warnings for row in rows] == [()] * 20
    again = enroller.enroll_one(PersonPhoto("q", save("q.png", tile(3, 1))))
    assert again.status == "enrolled"
    assert again.resembles == "p3"
    (sentence,) = again.warnings
    assert "looks like p3, who is enrolled" in sentence
    # Within one batch the later one is told of the earlier one.
    two = [PersonPhoto(n, save(f"{n}.png", tile(50, k))) for k, n in enumerate(("x", "y"))]
    assert [row.resembles for row in enroller.enroll(two)] == [None, "x"]


def test_unlike_the_persons_other_photos(gallery, old: Recognizer, save) -> None:
    photos = [PersonPhoto("Ann", save(f"a{k}.png", tile(1, k))) for k in range(4)]
    photos.insert(2, PersonPhoto("Ann", save("wrong.png", tile(2))))
    rows = list(Enroller(gallery, old).enroll(photos))
    assert statuses(rows) == ["enrolled"] * 5
    assert [bool(row.warnings) for row in rows] == [False, False, True, False, False]
    assert "Ann's 4 other photos" in rows[2].warnings[0]
    scores = np.array([face.vector for face in gallery.faces()])
    scores = scores @ scores.T - 2 * np.eye(5)
    assert [row.own_score for row in rows] == pytest.approx(scores.max(1).tolist(), abs=1e-5)
    # Against what was enrolled in an earlier run, too.
    late = Enroller(gallery, old).enroll_one(PersonPhoto("Ann", save("late.png", tile(9))))
    assert "5 other photos" in late.warnings[0]


def test_rules_for_several_faces(gallery, old: Recognizer, save) -> None:
    small = tile(2)
    small[: SIDE // 2] = 0
    both = save("both.png", tile(1), tile(2))
    clear = save("clear.png", small, tile(1))
    found = {}
    for rule in ("refuse", "clear", "largest"):
        enroller = Enroller(gallery, old, options=EnrollOptions(rule=rule))
        photos = [PersonPhoto(rule, both), PersonPhoto(rule, clear)]
        found[rule] = [row.there for row in enroller.enroll(photos)]
    assert found == {"refuse": [False] * 2, "clear": [False, True], "largest": [True] * 2}
    (kept,) = gallery.faces(person="clear")
    assert kept.vector @ old.embed(save("t.png", tile(1)))[0].vector > 0.95


def test_any_quality_and_expiry_and_crops(gallery, old: Recognizer, save) -> None:
    dark = (tile(1) * 0.1).astype(np.uint8) + 1
    path = save("dark.png", dark)
    until = "2031-01-01T00:00:00+00:00"
    options = EnrollOptions(min_quality=0.0, expires=until, keep_crops=True)
    row = Enroller(gallery, old, options=options).enroll_one(PersonPhoto("Ann", path))
    assert row.status == "enrolled"
    (kept,) = gallery.faces()
    assert kept.expires.startswith("2031-01-01")
    assert kept.has_crop
    assert gallery.crop(kept.id).startswith(b"\x89PNG")


def test_attributes_are_joined(gallery, old: Recognizer, save) -> None:
    enroller = Enroller(gallery, old)
    enroller.enroll_one(PersonPhoto("Ann", save("1.png", tile(1)), attributes={"a": 1}))
    enroller.enroll_one(PersonPhoto("Ann", save("2.png", tile(1, 1)), attributes={"b": [2]}))
    assert gallery.person("Ann").attributes == {"a": 1, "b": [2]}


def test_bytes_and_composed_names(gallery, old: Recognizer, save) -> None:
    data = save("1.png", tile(1)).read_bytes()
    row = Enroller(gallery, old).enroll_one(PersonPhoto("Jose\u0301", data, "upload 7"))
    assert (row.status, row.person, row.photo) == ("enrolled", "Jos\u00e9", "upload 7")
    bad = Enroller(gallery, old).enroll_one(PersonPhoto("José", b"junk", "upload 8"))
    assert bad.status == "unreadable"
    assert bad.message.startswith("upload 8")


def test_another_model_is_not_welcome(gallery, old: Recognizer, new: Recognizer, save) -> None:
    Enroller(gallery, old).enroll_one(PersonPhoto("Ann", save("1.png", tile(1))))
    with pytest.raises(ModelMismatchError, match="migrate --model new"):
        Enroller(gallery, new)


def test_without_calibration_nothing_is_compared(gallery, tiles_home: Path, save) -> None:
    from .conftest import TileDetector

    plain = Recognizer(model="old", detector=TileDetector(), home=tiles_home)
    enroller = Enroller(gallery, plain)
    assert "visavis calibrate" in enroller.warnings()[0]
    for name in ("a", "b"):
        row = enroller.enroll_one(PersonPhoto(name, save("1.png", tile(1))))
        assert (row.status, row.warnings) == ("enrolled", ())


@pytest.mark.parametrize(
    "wrong", [{"rule": "all"}, {"min_quality": 2}, {"resemblance_fpir": 0}, {"batch": 0}]
)
def test_options_are_checked(wrong: dict) -> None:
    with pytest.raises(OptionError):
        replace(EnrollOptions(), **wrong)


def test_batches_keep_people_together() -> None:
    def sizes(counts: list[int], size: int) -> list[int]:
        photos = [PersonPhoto(str(k), b"") for k, n in enumerate(counts) for _ in range(n)]
        batches = list(cut(photos, size))
        assert [p for batch in batches for p in batch] == photos
        return [len(batch) for batch in batches]

    assert sizes([3, 3, 3], 4) == [3, 3, 3]
    assert sizes([10], 4) == [4, 4, 2]
    assert sizes([1] * 5, 2) == [2, 2, 1]
    assert sizes([], 4) == []


@settings(max_examples=200, deadline=None)
@given(counts=st.lists(st.integers(1, 5), max_size=6), size=st.integers(1, 7), data=st.data())
def test_batches_end_and_hold_everything(counts: list[int], size: int, data: st.DataObject) -> None:
    names = [data.draw(st.sampled_from("abc")) for _ in counts]
    photos = [PersonPhoto(n, b"") for n, count in zip(names, counts, strict=True)
              for _ in range(count)]  # fmt: skip
    batches = list(itertools.islice(cut(photos, size), len(photos) + 1))
    assert [p for batch in batches for p in batch] == photos
    assert all(1 <= len(batch) <= size for batch in batches)
    half = max(1, size // 2)
    assert all(len(batch) >= half for batch in batches[:-1])


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_a_duplicate_counts_only_where_the_first_was_taken(
    gallery, old: Recognizer, save, batch: int
) -> None:
    black = np.zeros((SIDE, SIDE, 3), np.uint8)
    photos = [
        PersonPhoto("Ann", save("1.png", black)),
        PersonPhoto("Ann", save("2.png", black)),
        PersonPhoto("Ann", save("3.png", tile(1))),
        PersonPhoto("Ann", save("4.png", tile(1))),
        PersonPhoto("Bob", save("5.png", tile(1))),
    ]
    rows = list(Enroller(gallery, old, options=EnrollOptions(batch=batch)).enroll(photos))
    assert statuses(rows) == ["no-face", "no-face", "enrolled", "already-enrolled", "enrolled"]


@pytest.mark.parametrize("keep_crops", [False, True])
@pytest.mark.parametrize("workers", [1, 2])
def test_each_photo_is_read_and_hashed_once(  # noqa: PLR0917
    gallery, old: Recognizer, save, monkeypatch, keep_crops: bool, workers: int
) -> None:
    photos = [PersonPhoto(f"p{k // 2}", save(f"{k}.png", tile(k))) for k in range(6)]
    content = {photo.photo.read_bytes() for photo in photos}
    reads: Counter[str] = Counter()
    hashed: Counter[bytes] = Counter()
    read, sha256 = reading._read_path, hashlib.sha256

    def counted_read(path, limits, name):
        reads[path] += 1
        return read(path, limits, name)

    def counted_hash(data=b"", **options):
        if data in content:
            hashed[bytes(data)] += 1
        return sha256(data, **options)

    monkeypatch.setattr(reading, "_read_path", counted_read)
    monkeypatch.setattr(hashlib, "sha256", counted_hash)
    options = EnrollOptions(keep_crops=keep_crops, workers=workers)
    for status in ("enrolled", "already-enrolled"):
        reads.clear()
        hashed.clear()
        assert statuses(Enroller(gallery, old, options=options).enroll(photos)) == [status] * 6
        assert reads == Counter({str(photo.photo): 1 for photo in photos})
        assert hashed == Counter(dict.fromkeys(content, 1))
    for face, photo in zip(gallery.faces(), photos, strict=True):
        assert face.photo_sha256 == sha256(photo.photo.read_bytes()).hexdigest()
        if keep_crops:
            found = old.detect(photo.photo)[0]
            assert gallery.crop(face.id) == cut_out(decode(photo.photo), found.landmarks)


def test_no_name_is_compared_where_nobody_is_looked_up_in_vain(
    gallery, old: Recognizer, save, monkeypatch
) -> None:
    """The error for somebody unknown looks through the gallery for names like theirs."""
    compared = []

    def counted(name, names, **options):
        compared.append(len(names))
        return []

    monkeypatch.setattr("visavis.gallery.names.get_close_matches", counted)
    photos = [PersonPhoto(f"p{k}", save(f"{k}.png", tile(k))) for k in range(4)]
    assert statuses(Enroller(gallery, old).enroll(photos)) == ["enrolled"] * 4
    assert statuses(Enroller(gallery, old).enroll(photos)) == ["already-enrolled"] * 4
    assert compared == []
    with pytest.raises(UnknownPersonError):
        gallery.person("p9")
    assert compared == [4]


def test_two_enroll_the_same_photos_at_once(gallery, old: Recognizer, save) -> None:
    photos = [PersonPhoto(f"p{k}", save(f"p{k}.png", tile(k))) for k in range(4)]
    first, second = Enroller(gallery, old), Enroller(gallery, old)
    check = first._resemblance.check

    def meanwhile(people, vectors):
        list(second.enroll(photos[:3]))
        return check(people, vectors)

    first._resemblance.check = meanwhile  # type: ignore[method-assign]
    rows = list(first.enroll(photos))
    assert [row.status for row in rows] == ["already-enrolled"] * 3 + ["enrolled"]
    assert [row.face is None for row in rows] == [True] * 3 + [False]
    assert sorted(face.person for face in gallery.faces()) == ["p0", "p1", "p2", "p3"]
    assert rows[3].face == next(face.id for face in gallery.faces(person="p3"))


@pytest.mark.parametrize("sign", ["\u202e", "\u2066"])
def test_a_name_that_is_shown_as_another(gallery, old: Recognizer, save, sign: str) -> None:
    row = Enroller(gallery, old).enroll_one(PersonPhoto(f"An{sign}na", save("a.png", tile(1))))
    assert row.status == "unusable-name"
    assert "shows another name" in str(row.message)
    # What joins letters and pictures is part of names.
    for name in ("می\u200cخواهم", "👩\u200d👧"):
        assert Enroller(gallery, old).enroll_one(PersonPhoto(name, save("b.png", tile(2)))).there
