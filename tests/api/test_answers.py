"""Answers draw themselves: boxes, crops, names, score against threshold."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import visavis as vv
from visavis.errors import ImageNotFoundError, MissingExtraError, OptionError
from visavis.pipeline import Recognizer


@pytest.fixture
def photo(tmp_path: Path, portrait: np.ndarray) -> Path:
    path = tmp_path / "anna.png"
    Image.fromarray(portrait).save(path)
    return path


def boxes(panel: object) -> list[tuple[float, float, float, float]]:
    return [(*p.get_xy(), p.get_width(), p.get_height()) for p in panel.patches]  # type: ignore[attr-defined]


def texts(figure: object) -> str:
    return " | ".join(t.get_text() for panel in figure.axes for t in panel.texts)  # type: ignore[attr-defined]


def test_verify_draws_both_photos_both_crops_and_the_score(
    photo: Path, portrait: np.ndarray
) -> None:
    answer = vv.verify(photo, portrait[:, ::-1].copy())
    figure = answer.plot()
    first, crop, middle, other_crop, second = figure.axes
    assert boxes(first) == [pytest.approx(answer.a.face.box)]
    assert boxes(second) == [pytest.approx(answer.b.face.box)]
    assert crop.images[0].get_array().shape == other_crop.images[0].get_array().shape
    said = texts(figure)
    assert "same person" in said
    assert f"{answer.score:+.3f}" in said
    assert f"{answer.threshold:.3f}" in said
    # The mark of the threshold and the point of the score lie on one scale.
    (threshold,) = {x for line in middle.lines[1:] for x in line.get_xdata()}
    score = middle.collections[0].get_offsets()[0][0]
    assert (score - threshold) / 0.84 * 1.2 == pytest.approx(answer.score - answer.threshold)


def test_an_answer_is_the_record_that_it_was(photo: Path, portrait: np.ndarray) -> None:
    answer = vv.verify(photo, portrait)
    assert answer.to_dict() == Recognizer().verify(photo, portrait).to_dict()
    assert "array(" not in repr(answer).partition("operating_point")[0]
    travelled = pickle.loads(pickle.dumps(answer))
    assert travelled.to_dict() == answer.to_dict()
    with pytest.raises(OptionError, match="photo"):
        travelled.plot()


def test_detect_draws_every_face_and_reads_a_file_again(photo: Path, portrait: np.ndarray) -> None:
    twice = np.concatenate([portrait, portrait], axis=1)
    faces = vv.detect(twice)
    np.testing.assert_allclose(boxes(faces.plot().axes[0]), [face.box for face in faces])
    stream = io.BytesIO(photo.read_bytes())
    assert vv.detect(stream)._repr_png_().startswith(b"\x89PNG")  # type: ignore[union-attr]
    gone = vv.detect(photo)
    photo.unlink()
    with pytest.raises(ImageNotFoundError):
        gone.plot()


def test_identify_names_the_boxes(photo: Path, portrait: np.ndarray, tmp_path: Path) -> None:
    with vv.Gallery(tmp_path / "g", create=True, home=tmp_path / "home") as people:
        assert texts(people.identify(photo).plot()) == "unknown"
        people.enroll([("Anna", photo)])
        answer = people.identify(portrait, fpir=0.2)
        said = texts(answer.plot())
        assert said.startswith("Anna, 1.00 of ")
        assert boxes(answer.plot().axes[0]) == [pytest.approx(answer.faces[0].face.box)]


def test_without_matplotlib_the_extra_is_named(
    portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = vv.detect(portrait)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"visavis\[report\]"):
        faces.plot()
    assert faces._repr_png_() is None
