"""The sizes and tiles at which YuNet searches a photo."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.faces import yunet
from visavis.faces.detecting import ImagePyramid
from visavis.faces.yunet import YuNet, YuNetOptions

LONGEST = 12_000


@pytest.mark.parametrize("min_face", [8, 20, 21, 40, 333])
def test_the_scales_of_every_length_are_few_and_reach_from_small_faces_to_the_frame(
    min_face: int,
) -> None:
    for longest in range(1, LONGEST + 1):
        scales = yunet._scales(longest, min_face)
        assert len(scales) <= 10
        assert scales[0] == 30 / min_face  # the smallest face has 30 pixels
        assert scales[-1] * longest <= 480 * (1 + 1e-9) or scales[-1] == scales[0]
        # A face seen too large at one scale is seen at the next: the network takes 30 to 500.
        ratios = [before / after for before, after in itertools.pairwise(scales)]
        assert all(1 < ratio <= 4 for ratio in ratios)


@given(
    width=st.integers(1, 60_000),
    height=st.integers(1, 60_000),
    min_face=st.integers(8, 5_000),
)
def test_the_plan_is_finite_and_its_tiles_cover_the_photo(
    width: int, height: int, min_face: int
) -> None:
    scales = yunet._scales(max(width, height), min_face)
    assert len(scales) <= 12
    for scale in scales:
        for length in (width, height):
            spans = yunet._tiles(length, scale)
            assert spans[0][0] == 0
            assert spans[-1][1] == length
            assert all(0 < right - left <= 1281 / scale for left, right in spans)
            # What two tiles share holds any face that this scale is for.
            shared = [a[1] - b[0] for a, b in itertools.pairwise(spans)]
            assert all(common * scale >= 120 for common in shared)
            assert len(spans) <= length * scale / 1000 + 2


@pytest.mark.parametrize("lengths", [(337, 200), (313, 409), (628, 471), (590, 590)])
def test_lengths_that_made_the_search_run_for_ever(lengths: tuple[int, int]) -> None:
    width, height = lengths
    parts = YuNet(threads=1)._parts(ImagePyramid(np.zeros((height, width, 3), np.uint8)))
    assert len([*parts]) <= 4


def test_random_sizes(portrait: np.ndarray) -> None:
    """The portrait's face is found in pictures of random sizes, whatever the rest of them is."""
    import cv2

    rng = np.random.default_rng(16)
    detector = YuNet(threads=1, options=YuNetOptions(refine=()))
    head = portrait[:240, 110:350]
    for width, height in rng.integers(90, 640, (120, 2)):
        photo = np.full((height, width, 3), 127, np.uint8)
        side = int(min(width, height, rng.integers(80, 400)))
        x, y = rng.integers(0, width - side + 1), rng.integers(0, height - side + 1)
        photo[y : y + side, x : x + side] = cv2.resize(
            head, (side, side), interpolation=cv2.INTER_AREA
        )
        face = max(detector.detect(photo), key=lambda face: face.score)
        left, top, across, down = face.box
        assert abs(left + across / 2 - (x + 0.48 * side)) < 0.1 * side
        assert abs(top + down / 2 - (y + 0.5 * side)) < 0.1 * side


@pytest.mark.parametrize("min_face", [20, 60])
def test_no_face_far_below_the_smallest_is_reported(portrait: np.ndarray, min_face: int) -> None:
    import cv2

    detector = YuNet(threads=1, options=YuNetOptions(min_face=min_face))
    whole = portrait[:240, 110:350]
    found = []
    for part in (0.5, 0.9, 1.3, 2.0):
        # The portrait's face is 0.49 of the picture, from hairline to chin.
        side = round(part * min_face / 0.49)
        photo = np.full((600, 600, 3), 127, np.uint8)
        photo[100 : 100 + side, 100 : 100 + side] = cv2.resize(
            whole, (side, side), interpolation=cv2.INTER_AREA
        )
        found.append(len(detector.detect(photo)))
    assert found[0] == 0
    assert found[2:] == [1, 1]


class _Recorder:
    """A network that keeps its input and answers with drawn outputs."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self.output_names = tuple(f"{kind}_{s}" for s in (8, 16, 32) for kind in WIDTHS)

    def run(self, tensor: np.ndarray, /) -> list[np.ndarray]:
        self.tensor = tensor.copy()
        cells = {s: tensor.shape[2] * tensor.shape[3] // s**2 for s in (8, 16, 32)}
        self.outputs = {
            f"{kind}_{s}": self._rng.random((1, cells[s], width)).astype(np.float32)
            for s in (8, 16, 32)
            for kind, width in WIDTHS.items()
        }
        return list(self.outputs.values())


WIDTHS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}


@given(width=st.integers(1, 100), height=st.integers(1, 100), seed=st.integers(0, 99))
def test_what_the_network_gets_and_how_its_cells_are_decoded(
    width: int, height: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    photo = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    detector = YuNet.__new__(YuNet)
    detector._options, detector._session = YuNetOptions(), _Recorder(rng)
    found = detector._run(photo, 5.0, 7.0, 0.5)

    # Blue, green, red; zeros fill up to a multiple of 32.
    tensor = detector._session.tensor[0]
    assert tensor.shape[1:] == (-(-height // 32) * 32, -(-width // 32) * 32)
    for channel in range(3):
        np.testing.assert_array_equal(tensor[channel, :height, :width], photo[..., 2 - channel])
    assert tensor[:, height:].sum() == 0
    assert tensor[:, :, width:].sum() == 0

    rows = []
    for s in (8, 16, 32):
        cls, obj, box, points = (detector._session.outputs[f"{kind}_{s}"][0] for kind in WIDTHS)
        across = tensor.shape[2] // s
        for cell in range(len(cls)):
            score = float(np.sqrt(cls[cell, 0] * obj[cell, 0]))
            if score < 0.6:
                continue
            corner = np.array([cell % across, cell // across])
            size = np.exp(box[cell, 2:].astype(np.float64))
            values = [corner + box[cell, :2] - size / 2, size]
            values += [corner + point for point in points[cell].reshape(5, 2)]
            scaled = np.array(values) * s / 0.5 + np.where(np.arange(7) == 1, 0, 1)[:, None] * (
                5,
                7,
            )
            rows.append([*scaled.ravel(), score])
    np.testing.assert_allclose(found, np.array(rows).reshape(-1, 15), rtol=1e-5, atol=1e-3)
