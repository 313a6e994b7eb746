"""``vv.watch`` with the real networks: drawn sequences of real photos, and a clip."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.video.drawn import write_video

import visavis as vv
from visavis.errors import (
    DataError,
    GalleryError,
    MissingExtraError,
    OptionError,
    UnsupportedFmrError,
)

pytest.importorskip("av")
WIDTH, HEIGHT, FPS = 320, 180, 10


@pytest.fixture(scope="module")
def face(portrait: np.ndarray) -> np.ndarray:
    """The portrait's head, 150 pixels high."""
    head = Image.fromarray(portrait[:240, 100:340])
    return np.asarray(head.resize((150, 150), Image.Resampling.LANCZOS))


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    """Eileen, from another size and brightness of her portrait."""
    folder = tmp_path_factory.mktemp("watch")
    Image.fromarray((portrait * 0.85).astype(np.uint8)).save(folder / "e.png")
    with vv.Gallery(folder / "door.gallery", create=True) as people:
        people.enroll(folder / "e.png", name="Eileen")
    return folder / "door.gallery"


def scene(*heads: tuple[np.ndarray, int], blur: float = 0) -> np.ndarray:
    """A gray room with noise, and heads at some x."""
    import cv2

    room = np.random.default_rng(1).normal(90, 6, (HEIGHT, WIDTH, 3)).clip(0, 255).astype(np.uint8)
    for head, x in heads:
        room[20 : 20 + head.shape[0], x : x + head.shape[1]] = head
    return cv2.GaussianBlur(room, (0, 0), blur) if blur else room  # type: ignore[return-value]


def pan(face: np.ndarray) -> Iterator[np.ndarray]:
    """Nobody, a pan of 150 pixels in a second that ends in a blur, nobody, blur only, nobody."""
    yield from [scene()] * 5
    yield from (scene((face, 10 + 15 * k)) for k in range(10))
    yield from [scene((face, 160), blur=4)] * 3
    yield from [scene()] * 12
    yield from [scene((face, 40), blur=4)] * 5
    yield from [scene()] * 3


def test_a_pan_a_blur_and_nobody(face: np.ndarray, gallery: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "pan.mp4", pan(face))
    found = list(vv.watch(tmp_path / "pan.mp4", gallery=gallery, fpir=0.1, gap=0.6))
    assert [(e.kind, e.outcome, e.person) for e in found] == [
        ("visit", "identified", "Eileen"), ("visit", "no-usable-face", None),
    ]  # fmt: skip
    first, second = found
    assert first.start_s == 0.5
    # The last three frames are blurred beyond recognition: still the same visit.
    assert first.end_s == 1.7
    assert first.frames == 13
    assert 3 <= first.looks <= 8
    assert first.fpir == 0.1
    assert first.score is not None
    assert first.threshold is not None
    assert first.score > first.threshold
    assert (second.start_s, second.looks, second.score) == (3.0, 0, None)
    assert second.quality_score < 0.6
    assert first.size == (WIDTH, HEIGHT)


def test_nothing_is_stored_unless_asked(face: np.ndarray, gallery: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [scene((face, 40))] * 4)
    before = set(tmp_path.rglob("*")) | {*gallery.rglob("*")}
    list(vv.watch(tmp_path / "a.mp4", gallery=gallery, fpir=0.1))
    assert set(tmp_path.rglob("*")) | {*gallery.rglob("*")} == before
    with vv.Gallery(gallery) as people:
        (event,) = vv.watch(
            tmp_path / "a.mp4", gallery=people, fpir=0.1, audit=True,
            save_crops=tmp_path / "crops" / "new", camera="door", seconds=0.2,
        )  # fmt: skip
        (entry,) = [one for one in people.audit() if one.action == "identify"]
    assert entry.details["faces"][0]["person"] == event.person_id
    (file,) = (tmp_path / "crops" / "new").iterdir()
    assert event.crop == str(file)
    assert file.name.startswith("door-")
    assert "Eileen" not in file.name
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    (seen,) = vv.detect(file)
    assert vv.verify(file, face, fmr=1e-3).same
    assert seen.area > 0


def test_a_stop_reports_open_visits(face: np.ndarray, gallery: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [scene((face, 40))] * 30)
    stop = threading.Event()
    events = vv.watch(
        tmp_path / "a.mp4", gallery=gallery, fpir=0.1, looks=1, arrivals=True, stop=stop
    )
    arrival = next(events)
    stop.set()
    (visit,) = events
    assert (arrival.kind, visit.kind) == ("arrival", "visit")
    assert arrival.visit == visit.visit
    assert arrival.person == visit.person == "Eileen"
    assert visit.end_s < 1


def test_what_is_wrong_is_said(gallery: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [scene()] * 2)
    video = tmp_path / "a.mp4"
    for wrong in (
        {"camera": "a/b"}, {"seconds": 0}, {"fps": 0}, {"looks": 0}, {"gap": -1}, {"fpir": 2},
        {"min_quality": 3}, {"max_size": 1}, {"fusion": "best"},
    ):  # fmt: skip
        with pytest.raises(OptionError):
            vv.watch(video, gallery=gallery, **wrong)
    for wrong in ({"webhook": "ftp://x"}, {"mqtt": "http://x"}):
        with pytest.raises(OptionError):
            list(vv.watch(video, gallery=gallery, **wrong))
    with pytest.raises(GalleryError):
        list(vv.watch(video, gallery=tmp_path / "none"))
    with pytest.raises(DataError):
        list(vv.watch(tmp_path / "none.mp4", gallery=gallery, fpir=0.1))
    with pytest.raises(UnsupportedFmrError):
        list(vv.watch(video, gallery=gallery, fpir=1e-9))
    with pytest.raises(DataError):
        list(vv.watch(video, gallery=gallery, fpir=0.1, save_crops=video / "x"))


def test_the_extra_is_named(gallery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match="visavis\\[watch\\]"):
        vv.watch(tmp_path / "a.mp4", gallery=gallery)


def head(lfw: Path, name: str, number: int) -> np.ndarray:
    path = lfw / "lfw-deepfunneled" / name / f"{name}_{number:04d}.jpg"
    with Image.open(path) as photo:
        return np.asarray(photo.crop((50, 50, 200, 200)))


@pytest.mark.lfw
def test_several_people_a_stranger_and_a_cut(lfw: Path, tmp_path: Path) -> None:
    people, stranger = ("Gloria_Macapagal_Arroyo", "Jean_Chretien"), "Junichiro_Koizumi"
    with vv.Gallery(tmp_path / "g", create=True) as gallery:
        for name in people:
            gallery.enroll(
                [(name, lfw / "lfw-deepfunneled" / name / f"{name}_{k:04d}.jpg") for k in (1, 2)]
            )
        arroyo, chretien = (head(lfw, name, 5) for name in people)
        koizumi = head(lfw, stranger, 5)
        together = [scene((arroyo, k), (koizumi, 165 - k)) for k in range(8)]
        # After the cut somebody else is at the same place.
        write_video(tmp_path / "a.mp4", [*together, *[scene((chretien, 7))] * 8])
        events = list(vv.watch(tmp_path / "a.mp4", gallery=gallery, fpir=1e-2))
    found = {(e.outcome, e.person): e for e in events}
    assert len(events) == 3
    assert found.keys() == {
        ("identified", people[0]), ("identified", people[1]), ("unknown", None),
    }  # fmt: skip
    first, second = found["identified", people[0]], found["identified", people[1]]
    assert (first.start_s, first.end_s) == (0.0, 0.7)
    assert (second.start_s, second.end_s) == (0.8, 1.5)
    assert found["unknown", None].box[0] > first.box[0]


def test_the_clip(peers: Path, tmp_path: Path) -> None:
    """Nine seconds with cuts: one man sings, one plays the piano at its start, guests look on."""
    folder = peers / "face_recognition" / "examples"
    photos = {
        "Miranda": "lin-manuel-miranda.png",
        "Lacamoire": "alex-lacamoire.png",
        "Biden": "biden.jpg",
    }
    with vv.Gallery(tmp_path / "g", create=True) as gallery:
        gallery.enroll([(name, folder / photo) for name, photo in photos.items()])
        events = list(
            vv.watch(folder / "short_hamilton_clip.mp4", gallery=gallery, fpir=1e-2, fps=3)
        )
    named = [e for e in events if e.outcome == "identified"]
    (singer,) = [e for e in named if e.person == "Miranda"]
    # He is not in the picture from 0.7 to 2.9 s: still one visit.
    assert singer.start_s == 0
    assert 7.0 <= singer.end_s <= 7.3
    assert singer.looks == 8
    assert {e.person for e in named} <= {"Miranda", "Lacamoire"}
    assert all(e.end_s < 1 for e in named if e.person == "Lacamoire")
    others = {e.outcome for e in events if e.start_s > 7}
    assert others <= {"unknown", "no-usable-face"}
    assert others
