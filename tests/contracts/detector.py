"""What every ``Detector`` must do. Subclass it; give the fixtures ``detector`` and ``ability``."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from visavis.errors import OptionError
from visavis.types import Detector, Face

from .photos import LANDMARKS, Photo, at_border, cut, error, placed

Pixels = NDArray[np.uint8]
_MIRRORED = [1, 0, 2, 4, 3]
_WHOLE_FRAME = (181, 61, 269, 179)


@dataclass(frozen=True)
class Ability:
    """What a detector declares about itself, and is held to.

    Attributes:
        smallest_face: least height of a face, hairline to chin in pixels, that it finds in a photo
            of the given height and width.
        tolerance: greatest mean landmark error in parts of the eye distance; twice that for faces
            below 40 pixels and for cut ones.
    """

    smallest_face: Callable[[int, int], float]
    tolerance: float


def assert_found(detector: Detector, photo: Photo, tolerance: float) -> list[Face]:
    """Each face of the photo is found, once, with its landmarks in place."""
    faces = detector.detect(photo.pixels)
    for wanted in photo.landmarks:
        errors = [error(face.landmarks, wanted) for face in faces]
        assert errors, "no face found"
        assert min(errors) <= tolerance
        assert sum(e < 0.5 for e in errors) == 1, "one face reported twice"
    return faces


def same(first: list[Face], second: list[Face]) -> bool:
    return len(first) == len(second) and all(
        a.box == b.box and a.score == b.score and np.array_equal(a.landmarks, b.landmarks)
        for a, b in zip(first, second, strict=True)
    )


class DetectorContract:
    """Give fixtures ``detector`` and ``ability`` in a subclass or its module."""

    @pytest.fixture
    def head(self, portrait: Pixels) -> Photo:
        """A small photo: the portrait's head."""
        return Photo(portrait[:240, 110:350].copy(), LANDMARKS[None] - (110, 0))

    def test_declares_itself(self, detector: Detector) -> None:
        assert isinstance(detector, Detector)
        assert detector.name
        assert detector.name == detector.name.strip()

    def test_a_face_record(self, detector: Detector, portrait: Pixels, ability: Ability) -> None:
        face = assert_found(detector, Photo(portrait, LANDMARKS[None]), ability.tolerance)[0]
        assert face.landmarks.shape == (5, 2)
        assert face.landmarks.dtype == np.float32
        assert 0 < face.score <= 1
        assert all(type(value) is float for value in (*face.box, face.score))
        x, y, width, height = face.box
        assert x < face.landmarks[:, 0].min() < face.landmarks[:, 0].max() < x + width
        assert y < face.landmarks[:, 1].min() < face.landmarks[:, 1].max() < y + height

    def test_landmark_order(self, detector: Detector, head: Photo) -> None:
        face = detector.detect(head.pixels)[0]
        right_eye, left_eye, nose, right_mouth, left_mouth = face.landmarks
        assert right_eye[0] < nose[0] < left_eye[0]
        assert right_mouth[0] < nose[0] < left_mouth[0]
        assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])

    @pytest.mark.parametrize("height", [20, 28, 40, 80, 160, 320, 640])
    def test_faces_from_20_pixels(
        self, detector: Detector, portrait: Pixels, ability: Ability, height: int
    ) -> None:
        shape = (720, 960)
        height = max(height, int(np.ceil(ability.smallest_face(*shape))))
        photo = placed(portrait, shape, [(height, (0.42, 0.5))])
        assert_found(detector, photo, ability.tolerance * (1 if height >= 40 else 2))

    @pytest.mark.parametrize("longest", [80, 200, 800, 2000])
    @pytest.mark.parametrize("margin", [0.3, 0.05, -0.05])
    def test_faces_up_to_the_whole_frame(
        self, detector: Detector, portrait: Pixels, ability: Ability, longest: int, margin: float
    ) -> None:
        left, top, right, bottom = _WHOLE_FRAME
        dx, dy = margin * (right - left), margin * (bottom - top)
        photo = cut(portrait, (left - dx, top - dy, right + dx, bottom + dy), longest)
        assert_found(detector, photo, ability.tolerance * (1 if margin > 0 else 2))

    @pytest.mark.parametrize(
        ("shape", "height", "at"),
        [
            ((200, 200), 90, (0.5, 0.5)),
            ((240, 1400), 70, (0.93, 0.45)),
            ((1400, 240), 70, (0.5, 0.9)),
            ((1080, 1920), 60, (0.05, 0.92)),
            ((1080, 1920), 500, (0.7, 0.5)),
            ((2000, 3000), 200, (0.9, 0.1)),
        ],
    )
    def test_anywhere_in_photos_of_any_shape(  # noqa: PLR0917
        self, detector: Detector, portrait: Pixels, ability: Ability, shape, height, at
    ) -> None:
        height = max(height, int(np.ceil(ability.smallest_face(*shape))))
        assert_found(detector, placed(portrait, shape, [(height, at)]), ability.tolerance)

    @pytest.mark.slow
    def test_small_and_huge_faces_in_24_megapixels(
        self, detector: Detector, portrait: Pixels, ability: Ability
    ) -> None:
        shape = (4000, 6000)
        least = max(20, int(np.ceil(ability.smallest_face(*shape))))
        faces = [(3400, (0.4, 0.5)), (least, (0.93, 0.07)), (600, (0.9, 0.8))]
        photo = placed(portrait, shape, faces)  # type: ignore[arg-type]
        found = assert_found(detector, photo, ability.tolerance * 2)
        assert error(found[0].landmarks, photo.landmarks[0]) <= ability.tolerance

    @pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
    @pytest.mark.parametrize("inside", [1.0, 0.9])
    def test_touching_and_crossing_a_border(
        self, detector: Detector, portrait: Pixels, ability: Ability, side: str, inside: float
    ) -> None:
        photo = at_border(portrait, side, inside)
        assert_found(detector, photo, ability.tolerance * (1 if inside == 1 else 2))

    def test_mirrored_photo_gives_mirrored_landmarks(
        self, detector: Detector, head: Photo, ability: Ability
    ) -> None:
        straight = detector.detect(head.pixels)[0].landmarks.astype(float)
        mirrored = detector.detect(np.ascontiguousarray(head.pixels[:, ::-1]))[0].landmarks
        back = mirrored.astype(float)[_MIRRORED]
        back[:, 0] = head.pixels.shape[1] - back[:, 0]
        assert error(back, straight) <= ability.tolerance

    def test_several_faces_largest_first(
        self, detector: Detector, portrait: Pixels, ability: Ability
    ) -> None:
        faces = [(120, (0.15, 0.5)), (240, (0.5, 0.5)), (60, (0.85, 0.5))]
        photo = placed(portrait, (480, 900), faces)  # type: ignore[arg-type]
        found = assert_found(detector, photo, ability.tolerance)
        areas = [face.area for face in found]
        assert areas == sorted(areas, reverse=True)
        for face, wanted in zip(found[:3], photo.landmarks, strict=True):
            assert error(face.landmarks, wanted) <= ability.tolerance

    @pytest.mark.parametrize(
        "change",
        [
            lambda p: (p * 0.3).astype(np.uint8),
            lambda p: np.clip(p * 1.3 + 20, 0, 255).astype(np.uint8),
            lambda p: (128 + (p.astype(float) - 128) * 0.4).astype(np.uint8),
            lambda p: np.repeat(p.mean(2, keepdims=True), 3, axis=2).astype(np.uint8),
        ],
        ids=["dark", "bright", "faint", "gray"],
    )
    def test_light_and_color(
        self,
        detector: Detector,
        head: Photo,
        ability: Ability,
        change: Callable[[Pixels], Pixels],
    ) -> None:
        photo = Photo(change(head.pixels), head.landmarks)
        assert_found(detector, photo, ability.tolerance)

    @pytest.mark.parametrize(
        "shape", [(1, 1), (1, 300), (300, 1), (5, 300), (300, 5), (3, 3), (12, 12), (13, 17)]
    )
    def test_tiny_photos_have_no_face(self, detector: Detector, shape: tuple[int, int]) -> None:
        pixels = np.random.default_rng(2).integers(0, 256, (*shape, 3)).astype(np.uint8)
        assert detector.detect(pixels) == []

    @pytest.mark.parametrize("kind", ["black", "white", "noise", "slope"])
    def test_no_face_gives_an_empty_list(self, detector: Detector, kind: str) -> None:
        rng = np.random.default_rng(3)
        pixels = {
            "black": np.zeros((200, 260, 3)),
            "white": np.full((200, 260, 3), 255),
            "noise": rng.integers(0, 256, (200, 260, 3)),
            "slope": np.linspace(0, 255, 260)[None, :, None] * np.ones((200, 1, 3)),
        }[kind].astype(np.uint8)
        assert detector.detect(pixels) == []

    def test_the_same_again(self, detector: Detector, head: Photo) -> None:
        first = detector.detect(head.pixels)
        assert first
        detector.detect(head.pixels[:150, 40:])
        assert same(detector.detect(head.pixels), first)

    def test_threads_do_not_mix(self, detector: Detector, portrait: Pixels) -> None:
        photos = [placed(portrait, (150, 160 + 20 * k), [(60 + 10 * k, (0.5, 0.5))]).pixels
                  for k in range(4)]  # fmt: skip
        wanted = [detector.detect(photo) for photo in photos]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda k: detector.detect(photos[k % 4]), range(12)))
        assert all(same(faces, wanted[k % 4]) for k, faces in enumerate(found))

    @pytest.mark.parametrize(
        "view",
        [
            lambda p: p[:, ::-1],
            lambda p: p[::2, ::2],
            np.asfortranarray,
            lambda p: p.transpose(1, 0, 2)[:, :].transpose(1, 0, 2),
            lambda p: np.dstack([p, p])[:, :, 1:4],
        ],
        ids=["mirrored", "strided", "fortran", "transposed", "channels"],
    )
    def test_views_are_read_like_copies_and_left_alone(
        self, detector: Detector, head: Photo, view: Callable[[Pixels], Pixels]
    ) -> None:
        pixels = view(head.pixels)
        before = pixels.copy(order="K")
        pixels.flags.writeable = False
        found = detector.detect(pixels)
        assert found
        assert same(found, detector.detect(np.ascontiguousarray(pixels)))
        np.testing.assert_array_equal(pixels, before)

    @pytest.mark.parametrize(
        "make",
        [
            lambda p: p.astype(np.float32),
            lambda p: p.astype(np.int64),
            lambda p: p[..., 0],
            lambda p: p[..., :1],
            lambda p: np.dstack([p, p[..., :1]]),
            lambda p: p[None],
            lambda p: p[:0],
            lambda p: p.tolist(),
            lambda p: None,
        ],
        ids=["float", "int", "gray", "one", "rgba", "batch", "empty", "list", "none"],
    )
    def test_other_types_and_shapes_are_refused(
        self, detector: Detector, portrait: Pixels, make: Callable[[Pixels], Pixels]
    ) -> None:
        with pytest.raises(OptionError, match="uint8"):
            detector.detect(make(portrait[:32, :32]))
