"""Photos in, rows out: folders, lists and iterators alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import visavis as vv
from visavis.errors import DataError, ImageNotFoundError, OptionError, UnknownCalibrationError


@pytest.fixture
def folder(tmp_path: Path, portrait: np.ndarray) -> Path:
    """Two portraits, a photo without a face, and a file that is none."""
    place = tmp_path / "photos"
    place.mkdir()
    Image.fromarray(portrait).save(place / "a.png")
    Image.fromarray((portrait * 0.6).astype(np.uint8)).save(place / "b.png")
    Image.new("RGB", (200, 150), "white").save(place / "c.png")
    (place / "d.png").write_bytes(b"no photo")
    return place


def test_a_bad_photo_is_a_row_with_a_reason(folder: Path) -> None:
    told: list[tuple[str, int, int]] = []
    rows = list(vv.embed_many(folder, progress=lambda *now: told.append(now)))
    assert [Path(row.photo).name for row in rows] == ["a.png", "b.png", "c.png", "d.png"]
    assert [row.reason for row in rows] == [None, None, "no-face", "not-an-image"]
    assert told == [("photos", k, 4) for k in (1, 2, 3, 4)]
    want = vv.embed(folder / "a.png")[0].vector
    np.testing.assert_allclose(rows[0].templates[0].vector, want, atol=1e-5)


def test_lists_iterators_and_pixels_give_what_a_folder_gives(
    folder: Path, portrait: np.ndarray
) -> None:
    path = folder / "a.png"
    given = [path, str(path), path.read_bytes(), portrait, Image.open(path)]
    told: list[tuple[str, int, int]] = []
    rows = list(vv.embed_many(iter(given), progress=lambda *now: told.append(now)))
    assert told[-1] == ("photos", 5, 0), "an iterator does not say how many there are"
    for row in rows:
        np.testing.assert_allclose(row.templates[0].vector, rows[0].templates[0].vector, atol=1e-5)
    assert [bool(row.sha256) for row in rows] == [True, True, True, False, False]
    kept = list(vv.embed_many(given, names=list("abcde"), cache=True, home=folder / "home"))
    assert [row.photo for row in kept] == list("abcde")
    again = list(vv.embed_many(given, cache=True, home=folder / "home"))
    np.testing.assert_array_equal(again[0].templates[0].vector, kept[0].templates[0].vector)


def test_an_iterator_is_read_as_rows_are_asked_for(portrait: np.ndarray) -> None:
    """A camera never ends: rows come before the last photo does."""
    from visavis.api import photos

    taken = 0

    def camera() -> object:
        nonlocal taken
        while True:
            taken += 1
            yield portrait[::4, ::4]

    rows = vv.embed_many(camera())
    assert next(rows).photo.startswith("array")
    rows.close()  # type: ignore[attr-defined]
    assert taken == photos._BLOCK


def test_detect_many_says_what_it_could_not_read(folder: Path) -> None:
    rows = list(vv.detect_many(folder))
    assert [(len(row.faces), row.reason) for row in rows] == [
        (1, None), (1, None), (0, None), (0, "not-an-image")
    ]  # fmt: skip
    assert rows[0].faces[0].box == vv.detect(folder / "a.png")[0].box


def test_what_cannot_be_done_is_refused_at_once(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageNotFoundError, match="empty"):
        vv.embed_many(tmp_path / "empty")
    with pytest.raises(DataError, match=r"a\.png"):
        vv.embed_many(folder / "a.png")
    with pytest.raises(OptionError):
        vv.embed_many(folder, faces="tallest")
    with pytest.raises(OptionError):
        vv.embed_many(folder, names=["one"])
    with pytest.raises(TypeError):
        vv.verify(folder / "a.png", folder / "b.png", modle="sface")


def test_a_calibration_that_was_deleted_is_not_used_any_more(
    folder: Path, portrait: np.ndarray, home: Path
) -> None:
    """Recognizers are kept for a process; calibrations may change meanwhile."""
    store = vv.CalibrationStore(home)
    store.save(replace(vv.Recognizer().calibration, name="mine"))
    answer = vv.verify(folder / "a.png", portrait, calibration="mine", home=home)
    assert answer.calibration == "mine"
    store.delete("mine")
    with pytest.raises(UnknownCalibrationError):
        vv.verify(folder / "a.png", portrait, calibration="mine", home=home)
