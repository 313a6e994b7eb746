"""The faces that were marked by hand, and how detections are judged against them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from benchmarks.detection import Judged, MarkedPhoto, judge, judged, marked_photos
from PIL import Image

from visavis import images
from visavis.types import Face


def face(x: float, y: float, width: float, height: float, score: float) -> Face:
    return Face(box=(x, y, width, height), landmarks=np.zeros((5, 2), np.float32), score=score)


def test_every_mark_lies_in_its_photo() -> None:
    photos = marked_photos()
    assert len(photos) == 99
    assert sum(len(photo.faces) for photo in photos.values()) == 109
    for name, photo in photos.items():
        width, height = photo.size
        for x, y, *_ in (*photo.faces, *photo.ignore):
            assert 0 <= x < width, name
            assert 0 <= y < height, name
        # No face is marked and ignored at once.
        for x, y in photo.faces:
            assert all(np.hypot(x - cx, y - cy) > r for cx, cy, r in photo.ignore), name


def test_every_photo_of_the_data_is_marked_at_its_upright_size(peers: Path) -> None:
    photos = marked_photos()
    files = images.photos_below(peers)
    assert {file.relative_to(peers).as_posix() for file in files} == set(photos)
    for name in ("antispoof/image_T1.jpg", "deepface/img12.jpg", "deepface/img10.jpg"):
        height, width = images.decode(peers / name).shape[:2]
        assert photos[name].size == (width, height)


def test_one_detection_a_face_is_right_the_most_confident_one() -> None:
    photo = MarkedPhoto(size=(200, 100), faces=((50, 50), (150, 50)), ignore=())
    twice = [face(30, 30, 40, 40, 0.7), face(32, 30, 40, 40, 0.9), face(0, 0, 20, 20, 0.95)]
    assert judge(twice, photo) == [False, True, False]


def test_a_box_over_two_faces_takes_the_one_nearest_to_its_middle() -> None:
    photo = MarkedPhoto(size=(200, 100), faces=((50, 50), (90, 50)), ignore=())
    # The first box holds both points; the second one only the left.
    assert judge([face(40, 20, 90, 60, 0.9), face(30, 30, 40, 40, 0.8)], photo) == [True, True]


def test_ignored_is_what_has_its_middle_in_a_circle_and_no_face_in_its_box() -> None:
    photo = MarkedPhoto(size=(200, 100), faces=((50, 50),), ignore=((150, 50, 20),))
    found = [face(140, 40, 20, 20, 0.9), face(100, 40, 60, 20, 0.8), face(30, 30, 240, 40, 0.7)]
    # Middle of the circle; 20 pixels from it (its rim); a large box that holds the marked face.
    assert judge(found, photo) == [None, None, True]
    assert judge([face(90, 40, 60, 20, 0.8)], photo) == [False]  # 30 pixels from it


def test_curve_is_recall_and_precision_of_what_each_confidence_keeps() -> None:
    random = np.random.default_rng(0)
    scores = random.integers(1, 9, 40) / 10  # with ties
    right = random.random(40) < 0.6
    counted = Judged(scores, right, faces=30)
    expected = []
    for least in sorted(set(scores), reverse=True):
        kept = [ok for score, ok in zip(scores, right, strict=True) if score >= least]
        expected.append((sum(kept) / 30, sum(kept) / len(kept)))
    np.testing.assert_allclose(np.array(counted.curve()).T, expected)
    assert counted.at(0.95) == (0, 0)


class Drawn:
    """Finds what it is told to, whatever the photo."""

    name = "drawn"

    def __init__(self, *faces: Face) -> None:
        self.faces = list(faces)

    def detect(self, image: np.ndarray, /) -> list[Face]:
        return self.faces


def test_judged_leaves_out_what_is_ignored_and_counts_all_faces(tmp_path: Path) -> None:
    Image.new("RGB", (200, 100)).save(tmp_path / "a.png")
    Image.new("RGB", (200, 100)).save(tmp_path / "b.png")
    photos = {
        "a.png": MarkedPhoto((200, 100), faces=((50, 50),), ignore=((150, 50, 20),)),
        "b.png": MarkedPhoto((200, 100), faces=((10, 10), (190, 90)), ignore=()),
    }
    finder = Drawn(face(30, 30, 40, 40, 0.9), face(140, 40, 20, 20, 0.8))
    counted = judged(finder, tmp_path, photos)
    # a: a face, and one ignored; b: two that are none.
    assert sorted(zip(counted.scores, counted.right, strict=True)) == [
        (0.8, False),
        (0.9, False),
        (0.9, True),
    ]
    assert counted.faces == 3
