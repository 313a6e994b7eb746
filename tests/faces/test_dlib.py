"""dlib's options, limits and missing package."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.errors import MissingExtraError, OptionError
from visavis.faces.dlib import Dlib, DlibOptions


@pytest.fixture(scope="module", autouse=True)
def _read_once() -> Iterator[None]:
    """Detectors of several options share what was read: 100 MB."""
    with pytest.MonkeyPatch.context() as patch:
        try:
            import dlib
        except ImportError:
            pass
        else:
            patch.setattr(dlib, "shape_predictor", functools.cache(dlib.shape_predictor))
        yield


@pytest.fixture(scope="module")
def detector() -> Dlib:
    pytest.importorskip("dlib")
    return Dlib()


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(MissingExtraError, match=r'pip install "visavis\[dlib\]"'):
        Dlib()


def test_smallest_face_grows_with_the_photo(detector: Dlib) -> None:
    assert detector.smallest_face(250, 250) == 20
    assert detector.smallest_face(480, 640) < 40
    assert 120 < detector.smallest_face(4000, 6000) < 200
    sizes = [detector.smallest_face(side, side) for side in (100, 500, 1000, 3000, 9000)]
    assert sizes == sorted(sizes)


def test_max_pixels_moves_the_limit(portrait: np.ndarray) -> None:
    pytest.importorskip("dlib")
    # The portrait's face is some 90 px wide.
    coarse = Dlib(options=DlibOptions(max_pixels=100_000))
    assert coarse.smallest_face(512, 512) > 120
    assert coarse.detect(portrait) == []
    fine = Dlib(options=DlibOptions(max_pixels=1_000_000))
    assert len(fine.detect(portrait)) >= 1


class _Search:
    """Notes the pictures that it is to search."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def run(self, picture: np.ndarray, *_: object) -> tuple[list[object], ...]:
        self.shapes.append(picture.shape)
        return [], [], []


@pytest.mark.parametrize(
    "shape", [(20, 25_000), (25_000, 20), (1, 30_000), (300, 32_000), (1, 1), (409, 313)]
)
def test_no_strip_is_searched_at_a_size_that_ends_the_process(
    shape: tuple[int, int], detector: Dlib, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dlib writes beyond its memory on pictures with a side of some 85,000 pixels."""
    search = _Search()
    monkeypatch.setattr(detector, "_search", search)
    assert detector.detect(np.zeros((*shape, 3), np.uint8)) == []
    (height, width, _) = search.shapes[0]
    assert max(height, width) <= 16_384
    assert height * width <= 8_100_000


@given(st.integers(1, 65_535), st.integers(1, 65_535), st.floats(10, 1e4))
def test_search_is_bounded_by_pixels_and_side(height: int, width: int, face: float) -> None:
    pytest.importorskip("dlib")
    detector = _detector(face)
    scale = 80 / detector.smallest_face(height, width)
    frame = 0.3 * min(height, width)
    assert 0 < scale <= 80 / face * (1 + 1e-9)
    assert (max(height, width) + frame) * scale <= 16_384
    assert (height + frame) * (width + frame) * scale**2 <= 8_000_000 * (1 + 1e-9)


def _detector(face: float) -> Dlib:
    """One that cannot search, so that it is made at once."""
    detector = Dlib.__new__(Dlib)
    detector._options = DlibOptions(min_face=face)
    return detector


def test_score_is_the_logistic_of_the_margin(detector: Dlib, portrait: np.ndarray) -> None:
    strict = Dlib(options=DlibOptions(margin=0.8))
    lax = Dlib(options=DlibOptions(margin=-0.5))
    few, many = strict.detect(portrait), lax.detect(portrait)
    assert 0 < len(few) < len(many)
    assert min(face.score for face in few) >= 1 / (1 + np.exp(-0.8))
    assert min(face.score for face in many) >= 1 / (1 + np.exp(0.5))
    assert min(face.score for face in many) < 0.5


def test_every_option_is_in_the_name(detector: Dlib) -> None:
    options = (
        DlibOptions(min_face=40), DlibOptions(max_pixels=1_000_000), DlibOptions(margin=0.5)
    )  # fmt: skip
    names = {detector.name, *(Dlib(options=o).name for o in options)}
    assert len(names) == 4
    assert all(name.startswith("dlib-") for name in names)


@pytest.mark.parametrize(
    "options",
    [
        {"min_face": 5},
        {"min_face": float("nan")},
        {"max_pixels": 10},
        {"margin": 9},
        {"margin": float("nan")},
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(OptionError):
        DlibOptions(**options)  # type: ignore[arg-type]
