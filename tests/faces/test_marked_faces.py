"""The faces that were marked by hand, and how detections are judged against them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from benchmarks.detection import MarkedPhoto, judge, marked_photos

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
