"""Photos that lie on their side or stand on their head."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from visavis.faces import detector as make
from visavis.faces.align import crop
from visavis.faces.orientation import OrientedDetector, to_original
from visavis.faces.quality import measure
from visavis.types import Detector, Face

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.contracts.detector import Ability, DetectorContract
from tests.contracts.photos import LANDMARKS, error

QUARTERS = (1, 2, 3)


class Fake:
    """Finds one face, upright where a white mark is in the top left corner, and counts looks."""

    name = "fake"

    def __init__(self, scores: Callable[[str], float | None], roll: float = 0.0) -> None:
        self.scores, self.roll, self.looks = scores, roll, 0

    def detect(self, image: np.ndarray, /) -> list[Face]:
        self.looks += 1
        corners = {
            "upright": image[0, 0],
            "right": image[0, -1],
            "upside down": image[-1, -1],
            "left": image[-1, 0],
        }
        place = next(name for name, pixel in corners.items() if pixel[0] == 255)
        score = self.scores(place)
        if score is None:
            return []
        angle = np.radians(self.roll)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        points = np.array([[-5, -5], [5, -5], [0, 0], [-4, 5], [4, 5.0]]) @ turn.T + (12, 14)
        return [Face((2.0, 4.0, 20.0, 24.0), points.astype(np.float32), score)]


def marked(quarters: int) -> np.ndarray:
    """A picture of 40 by 30 whose mark is at the top left before it is turned clockwise."""
    picture = np.zeros((30, 40, 3), np.uint8)
    picture[0, 0] = 255
    return np.ascontiguousarray(np.rot90(picture, -quarters))


@pytest.fixture(scope="module")
def yunet() -> Detector:
    return make("yunet", threads=1)


class TestOrientedYuNet(DetectorContract):
    @pytest.fixture
    def detector(self, yunet: Detector) -> Detector:
        return yunet

    @pytest.fixture
    def ability(self) -> Ability:
        return Ability(smallest_face=lambda height, width: 20, tolerance=0.15)


@pytest.mark.parametrize("quarters", QUARTERS)
def test_the_best_orientation_counts_in_the_photos_own_pixels(quarters: int) -> None:
    inner = Fake(lambda place: 0.95 if place == "upright" else 0.7)
    (found,) = OrientedDetector(inner, doubtful=0.9, convincing=0.9, least=0.85).detect(
        marked(quarters)
    )
    assert found.turn == 90 * quarters
    assert found.score == 0.95
    assert inner.looks == 4
    # The same face by drawing it and turning the drawing.
    drawn = np.zeros((30, 40, 3), np.uint8)
    drawn[4:28, 2:22] = 255
    y, x = np.nonzero(np.rot90(drawn, -quarters)[..., 0])
    left, top, width, height = found.box
    assert (left, top) == (x.min(), y.min())
    assert (left + width, top + height) == (x.max() + 1, y.max() + 1)
    for point, (px, py) in zip(found.landmarks, [(7, 9), (17, 9)], strict=False):
        drawn = np.zeros((30, 40), np.uint8)
        drawn[py, px] = 255
        y, x = np.argwhere(np.rot90(drawn, -quarters))[0]
        np.testing.assert_allclose(point, (x, y))


def test_one_look_is_enough_where_it_convinces() -> None:
    inner = Fake(lambda place: 0.92)
    (found,) = OrientedDetector(inner, doubtful=0.9, convincing=0.9, least=0.85).detect(marked(1))
    assert (found.turn, inner.looks) == (0, 1)


def test_a_face_on_its_side_is_looked_at_again() -> None:
    inner = Fake(lambda place: 0.92, roll=80)
    (found,) = OrientedDetector(inner, doubtful=0.9, convincing=0.9, least=0.85).detect(marked(0))
    assert inner.looks == 4
    assert found.turn == 0  # no other scores higher


@pytest.mark.parametrize("upside_down", [0.94, 0.88])
def test_a_doubtful_face_is_looked_at_upside_down(upside_down: float) -> None:
    """Alone, in one more look; the photo only where the face scores higher that way."""

    class Two(Fake):
        def detect(self, image: np.ndarray, /) -> list[Face]:
            if image.shape[:2] == (160, 160):
                self.looks += 1
                return [Face((40.0, 40.0, 80.0, 80.0), np.zeros((5, 2), np.float32), upside_down)]
            return super().detect(image)

    inner = Two(lambda place: upside_down if place == "upright" else 0.92)
    detector = OrientedDetector(inner, doubtful=0.9, convincing=0.93, least=0.85)
    (found,) = detector.detect(marked(2))
    turned = upside_down > 0.92
    assert (found.turn, inner.looks) == ((180, 5) if turned else (0, 2))


@pytest.mark.parametrize(
    ("own", "other", "turn"),
    [(0.7, 0.8, 0), (None, 0.8, None), (None, 0.86, 90), (0.88, 0.88, 0), (0.86, 0.88, 90)],
)
def test_what_another_orientation_must_show(
    own: float | None, other: float, turn: int | None
) -> None:
    """A weak find in a turned photo is no reason to believe it, one that is no better none."""
    inner = Fake({"upright": other, "right": own}.get)
    found = OrientedDetector(inner, doubtful=0.9, convincing=0.9, least=0.85).detect(marked(1))
    assert [face.turn for face in found] == ([] if turn is None else [turn])


@pytest.mark.parametrize("quarters", QUARTERS)
def test_points_go_back_to_their_pixels(quarters: int) -> None:
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 256, (13, 29, 3)).astype(np.uint8)
    turned = np.rot90(picture, quarters)
    points = rng.integers(0, min(picture.shape[:2]), (20, 2)).astype(float)
    back = to_original(points, quarters, picture).astype(int)
    for (x, y), (given_x, given_y) in zip(points.astype(int), back, strict=True):
        np.testing.assert_array_equal(turned[y, x], picture[given_y, given_x])


@pytest.mark.parametrize("quarters", QUARTERS)
def test_a_turned_portrait_gives_the_upright_crop(
    yunet: Detector, portrait: np.ndarray, quarters: int
) -> None:
    upright = yunet.detect(portrait)[0]
    photo = np.ascontiguousarray(np.rot90(portrait, -quarters))
    face = yunet.detect(photo)[0]
    assert face.turn == 90 * quarters
    assert face.score == upright.score
    where = to_original(LANDMARKS, quarters, photo)
    assert error(face.landmarks, where) < 0.15
    x, y, width, height = face.box
    assert (face.landmarks >= (x, y)).all()
    assert (face.landmarks <= (x + width, y + height)).all()
    expected = crop(portrait, upright.landmarks)
    assert np.abs(crop(photo, face.landmarks).astype(int) - expected).max() <= 2
    measured = measure(photo, face, expected)
    assert abs(measured.roll) < 15
    assert not any("rotated" in sentence for sentence in measured.warnings)
