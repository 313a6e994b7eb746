"""Aligned crops are told from other square photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from visavis.errors import DataError, NoFaceError
from visavis.faces import align
from visavis.training.data import alignment
from visavis.training.data.sources import Photo


@pytest.fixture
def crops(tmp_path: Path) -> list[Photo]:
    made = []
    for k in range(60):
        path = tmp_path / f"{k}.png"
        Image.fromarray(np.full((40, 40, 3), k, np.uint8)).save(path)
        made.append(Photo("somebody", path.name, path))
    return made


def off(share: float, faceless: int = 0) -> Any:
    """Landmarks that far from the template; none in photos darker than ``faceless``."""

    def find(pixels: np.ndarray, name: str) -> np.ndarray:
        if pixels[0, 0, 0] < faceless:
            raise NoFaceError(f"{name}: no face", "give another")
        turned = np.array([[0.6, 0.8]]) * share * len(pixels)
        return align.positions(size=len(pixels)) + turned

    return find


def test_what_lies_on_the_template_passes(crops: list[Photo]) -> None:
    alignment.check_aligned(crops, off(0.0))
    alignment.check_aligned(crops, off(0.059))


def test_what_does_not_is_refused_with_its_distance(crops: list[Photo]) -> None:
    # Eyes are 31.5 % of the side apart: 15 % of it is 48 % of that, 7 % is 22 %.
    with pytest.raises(DataError, match=r"0\.png.*48%.*--aligned"):
        alignment.check_aligned(crops, off(0.15))
    with pytest.raises(DataError, match="22%"):
        alignment.check_aligned(crops[:1], off(0.07))


def test_few_faces_say_nothing(crops: list[Photo]) -> None:
    alignment.check_aligned(crops, off(0.15, faceless=40))
    with pytest.raises(DataError):
        alignment.check_aligned(crops, off(0.15, faceless=20))


def test_so_many_photos_are_looked_at_and_no_more(crops: list[Photo]) -> None:
    seen: list[str] = []
    inner = off(0.0)

    def find(pixels: np.ndarray, name: str) -> np.ndarray:
        seen.append(name)
        return inner(pixels, name)

    alignment.check_aligned(crops, find)
    assert len(seen) == alignment.SAMPLE
    assert (seen[0], seen[-1]) == ("0.png", "59.png")


def test_broken_and_oblong_photos_say_nothing(crops: list[Photo], tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no")
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(tmp_path / "wide.png")
    odd = [Photo("x", name, tmp_path / name) for name in ("broken.png", "wide.png")]
    alignment.check_aligned(odd, off(0.15))
