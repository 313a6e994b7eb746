"""Crops that are aligned already: used as they are, and refused where they are none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.transform import SimilarityTransform
from tests.contracts.photos import LANDMARKS

from visavis.errors import NotAlignedError, OptionError
from visavis.faces import align
from visavis.faces.aligned import Aligned, misplaced
from visavis.faces.pose import GENERIC_FACE
from visavis.faces.yunet import YuNet
from visavis.types import Face

EYES = np.hypot(*(align.TEMPLATE[1] - align.TEMPLATE[0]))


@pytest.fixture(scope="module")
def aligned() -> Aligned:
    return Aligned(YuNet(threads=1))


def test_misplaced_is_how_far_aligning_again_moves_the_template() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        found = align.TEMPLATE + rng.normal(0, 6, (5, 2))
        again = SimilarityTransform.from_estimate(found, align.TEMPLATE)
        moved = again(align.TEMPLATE) - align.TEMPLATE
        wanted = np.sqrt((moved**2).sum() / 5) / EYES
        assert misplaced(found, size=112) == pytest.approx(wanted, rel=1e-6)


def test_misplaced_is_in_eye_distances_of_any_size() -> None:
    for size, scale in ((56, 1.0), (112, 0.9), (300, 1.2)):
        place = align.positions(size=size, scale=scale)
        eyes = np.hypot(*(place[1] - place[0]))
        off = misplaced(place + np.array([0.5 * eyes, 0]), size=size, scale=scale)
        assert off == pytest.approx(0.5)


def test_a_turned_head_that_was_aligned_is_not_misplaced() -> None:
    a = np.radians(60)
    turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    head = 40 * (GENERIC_FACE @ turn.T)[:, :2] + (200, 300)
    matrix = align.similarity(head, align.TEMPLATE)
    there = head @ matrix[:, :2].T + matrix[:, 2]
    assert np.linalg.norm(there - align.TEMPLATE, axis=1).max() > 0.2 * EYES
    assert misplaced(there, size=112) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("size", [48, 112, 160, 336])
def test_an_aligned_crop_is_one_face_on_the_template(
    aligned: Aligned, portrait: NDArray[np.uint8], size: int
) -> None:
    faces = aligned.detect(align.crop(portrait, LANDMARKS, size=size))
    assert len(faces) == 1
    assert faces[0].box == (0.0, 0.0, float(size), float(size))
    assert 0.6 < faces[0].score <= 1
    np.testing.assert_allclose(faces[0].landmarks, align.positions(size=size), rtol=1e-6)


def test_the_face_on_the_template_counts_where_there_are_several() -> None:
    class Two:
        name = "two"

        def detect(self, image: NDArray[np.uint8], /) -> list[Face]:
            size = len(image)
            spots = align.positions(size=size, scale=0.9)
            return [
                Face((0.0, 0.0, 9.0, 9.0), (spots * scale + shift).astype(np.float32), score)
                for scale, shift, score in ((1.0, -size, 0.9), (1.0, 1.0, 0.7))
            ]

    (face,) = Aligned(Two()).detect(np.zeros((112, 112, 3), np.uint8))
    assert face.score == 0.7


def turned(crop: NDArray[np.uint8], degrees: float) -> NDArray[np.uint8]:
    matrix = cv2.getRotationMatrix2D((56, 72), degrees, 1)
    return np.asarray(cv2.warpAffine(crop, matrix, (112, 112)), dtype=np.uint8)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p,
        lambda p: p[61:179, 166:284],
        lambda p: align.crop(p, LANDMARKS, scale=0.7),
        lambda p: turned(align.crop(p, LANDMARKS), 90),
        lambda p: turned(align.crop(p, LANDMARKS), -40),
        lambda p: np.roll(align.crop(p, LANDMARKS), 15, axis=1),
    ],
    ids=["photo", "box", "smaller", "turned", "tilted", "shifted"],
)
def test_other_crops_are_refused(aligned: Aligned, portrait: NDArray[np.uint8], change) -> None:
    with pytest.raises(NotAlignedError, match=r"\d+%.*--aligned"):
        aligned.detect(np.ascontiguousarray(change(portrait)))


def test_what_shows_no_face_is_refused(aligned: Aligned) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (112, 112, 3)).astype(np.uint8)
    with pytest.raises(NotAlignedError, match="no face"):
        aligned.detect(noise)
    assert len(Aligned().detect(noise)) == 1


@pytest.mark.parametrize("detector", [None, YuNet(threads=1)], ids=["unchecked", "checked"])
def test_a_picture_that_is_not_square_is_refused(detector: YuNet | None) -> None:
    with pytest.raises(NotAlignedError, match="112x92"):
        Aligned(detector).detect(np.zeros((92, 112, 3), np.uint8))


def test_other_types_are_refused(aligned: Aligned) -> None:
    with pytest.raises(OptionError, match="uint8"):
        aligned.detect(np.zeros((112, 112), np.uint8))


def test_its_name_says_what_checks(aligned: Aligned) -> None:
    assert Aligned().name == "aligned-112"
    assert aligned.name == f"aligned-112/{YuNet(threads=1).name}"
