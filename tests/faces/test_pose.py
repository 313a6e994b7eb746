"""Head angles recovered from a generic face drawn at known angles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from visavis.errors import OptionError
from visavis.faces.pose import GENERIC_FACE, estimate_pose

angles = st.tuples(st.floats(-60, 60), st.floats(-40, 40), st.floats(-170, 170))


def drawn(yaw: float, pitch: float, roll: float, distance: float = 1e9) -> np.ndarray:
    """The generic face seen by a pinhole camera ``distance`` eye distances away, in pixels.

    x to the right, y down, z away: turning the nose (-z) right is a negative angle about y, up a
    negative one about x; clockwise as seen is a positive one about z.
    """
    turn = Rotation.from_euler("xyz", [-pitch, -yaw, roll], degrees=True)
    points = turn.apply(GENERIC_FACE)
    return 40 * points[:, :2] * distance / (distance + points[:, 2:]) + (300, 200)


def off(first: float, second: float) -> float:
    return abs((first - second + 180) % 360 - 180)


@given(angles)
def test_exact_for_a_far_camera(angles: tuple[float, float, float]) -> None:
    pose = estimate_pose(drawn(*angles))
    for got, wanted in zip((pose.yaw, pose.pitch, pose.roll), angles, strict=True):
        assert off(got, wanted) < 0.01


@pytest.mark.parametrize("yaw", [-40, -15, 0, 25, 40])
@pytest.mark.parametrize("pitch", [-20, 0, 20])
@pytest.mark.parametrize("roll", [-30, 0, 30])
def test_within_two_degrees_at_arms_length(yaw: float, pitch: float, roll: float) -> None:
    pose = estimate_pose(drawn(yaw, pitch, roll, distance=10))
    assert max(off(pose.yaw, yaw), off(pose.pitch, pitch), off(pose.roll, roll)) < 2


def test_signs_are_those_of_the_record() -> None:
    """Without the generic face: the nose moves to the viewer's right, up, the head clockwise."""
    upright = np.array([[40, 40], [80, 40], [60, 63.0], [42, 82], [78, 82]])
    right, up = upright.copy(), upright.copy()
    right[2, 0] += 8
    up[2, 1] -= 8
    clockwise = (upright - 60) @ np.array([[0.9, 0.436], [-0.436, 0.9]]) + 60
    assert clockwise[1, 1] > clockwise[0, 1]  # the viewer's right eye sinks
    assert estimate_pose(right).yaw > 10
    assert estimate_pose(up).pitch > estimate_pose(upright).pitch + 10
    assert 20 < estimate_pose(clockwise).roll < 30


@given(angles, st.floats(0.05, 50), st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)))
def test_size_and_place_do_not_matter(angles, scale, shift) -> None:
    points = drawn(*angles)
    first, second = estimate_pose(points), estimate_pose(points * scale + shift)
    assert max(off(getattr(first, k), getattr(second, k)) for k in ("yaw", "pitch", "roll")) < 0.01


@given(st.integers(0, 1000))
def test_a_mirrored_face_is_turned_the_other_way(seed: int) -> None:
    points = drawn(20, -10, 5) + np.random.default_rng(seed).normal(0, 1, (5, 2))
    mirrored = points[[1, 0, 2, 4, 3]] * (-1, 1)
    first, second = estimate_pose(points), estimate_pose(mirrored)
    np.testing.assert_allclose(
        (second.yaw, second.pitch, second.roll), (-first.yaw, first.pitch, -first.roll), atol=1e-6
    )


def test_landmark_noise_moves_the_angles_little() -> None:
    rng = np.random.default_rng(4)
    noise = 0.02 * 40
    poses = [estimate_pose(drawn(0, 0, 0) + rng.normal(0, noise, (5, 2))) for _ in range(300)]
    assert np.std([pose.yaw for pose in poses]) < 3
    assert np.std([pose.pitch for pose in poses]) < 3
    assert np.std([pose.roll for pose in poses]) < 1.2


@pytest.mark.parametrize(
    "points", [np.zeros((5, 2)), np.full((5, 2), np.nan), np.zeros((4, 2)), np.zeros((5, 3))]
)
def test_unusable_points_are_refused(points: np.ndarray) -> None:
    with pytest.raises(OptionError):
        estimate_pose(points)
