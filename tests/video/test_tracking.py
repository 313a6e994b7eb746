"""Tracks of boxes."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.types import Face
from visavis.video.tracking import LOST, FaceTracker, _overlaps

MARKS = np.zeros((5, 2), np.float32)


def faces(*boxes: tuple[float, float]) -> list[Face]:
    return [Face((x, y, 40.0, 40.0), MARKS, 0.9) for x, y in boxes]


def test_two_people_who_pass_each_other_keep_their_numbers() -> None:
    tracker, first = FaceTracker(), None
    for k in range(30):
        # They cross at x = 145, at heights that overlap by half.
        found = tracker.update(faces((10 * k, 0), (290 - 10 * k, 20)), k / 10)
        first = first or found
        assert found == first
    assert len(set(first or [])) == 2


def test_a_lost_face_is_found_where_it_would_be() -> None:
    tracker = FaceTracker()
    for k in range(10):
        (number,) = tracker.update(faces((12 * k, 0)), k / 10)
    # Unseen for 0.4 s it has moved by more than its own width.
    for k in range(10, 14):
        tracker.update([], k / 10)
    assert tracker.update(faces((12 * 14, 0)), 1.4) == [number]


def test_a_track_ends_by_time_and_not_by_frames() -> None:
    tracker = FaceTracker()
    (number,) = tracker.update(faces((0, 0)), 0.0)
    for k in range(1, 100):
        tracker.update([], k / 200)
    assert tracker.update(faces((0, 0)), 0.5) == [number]
    assert tracker.update(faces((0, 0)), 0.5 + LOST + 0.01) != [number]
    assert len(tracker.living()) == 1


def test_the_assignment_is_the_best_of_all_together() -> None:
    tracker = FaceTracker()
    a, b = tracker.update(faces((0, 0), (30, 0)), 0.0)
    # Greedily the face at 14 would take b (overlap 24 of 40 px) or a (26 of 40): a; the one at -28
    # then had none left.
    assert tracker.update(faces((14, 0), (-28, 0)), 0.1) == [b, a]


def test_overlaps_by_another_way() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(1, 20, (5, 4)), rng.integers(1, 20, (3, 4))
    grid = np.zeros((2, 45, 45), bool)
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            grid[:] = False
            for plane, (x, y, w, h) in zip(grid, (one, other), strict=True):
                plane[y : y + h, x : x + w] = True
            expected = (grid[0] & grid[1]).sum() / (grid[0] | grid[1]).sum()
            assert _overlaps(a.astype(float), b.astype(float))[i, j] == pytest.approx(expected)
