"""``--aligned``: crops are used as they are, and what is none is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.contracts.photos import LANDMARKS

import visavis
from visavis.errors import NotAlignedError, OptionError
from visavis.faces import align
from visavis.gallery.sqlite.store import SqliteGallery


@pytest.fixture
def crop(tmp_path: Path, portrait: np.ndarray) -> Path:
    """The portrait's face, aligned."""
    path = tmp_path / "people" / "Eileen" / "crop.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(align.crop(portrait, LANDMARKS)).save(path)
    return path


@pytest.fixture
def mirrored(tmp_path: Path, crop: Path) -> Path:
    """The same, mirrored and twice as large."""
    path = tmp_path / "mirrored.png"
    Image.fromarray(np.asarray(Image.open(crop))[:, ::-1]).resize((224, 224)).save(path)
    return path


def test_two_crops_are_compared_as_they_are(run, crop: Path, mirrored: Path) -> None:
    outcome = run("verify", crop, mirrored, "--aligned", "--json")
    assert outcome.code == 0
    answer = outcome.json
    assert answer["pipeline_id"].startswith("aligned-112/yunet")
    assert answer["a"]["face"]["box"] == [0, 0, 112, 112]
    assert answer["b"]["face"]["box"] == [0, 0, 224, 224]
    assert any("aligned-112" in warning for warning in answer["warnings"])
    embedder = visavis.Recognizer().embedder
    pixels = np.asarray(Image.open(crop))
    assert visavis.embed(crop, aligned=True)[0].vector @ embedder.embed(pixels[None])[0] > 0.9999
    assert visavis.verify(crop, mirrored, aligned=True).score == pytest.approx(answer["score"])


def test_a_photo_is_refused_by_name(run, crop: Path, photo: Path) -> None:
    outcome = run("verify", crop, photo, "--aligned")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"visavis: {photo}: not aligned")
    assert "leave --aligned" in outcome.err
    assert outcome.err.count("\n") == 1
    with pytest.raises(NotAlignedError, match=photo.name):
        visavis.verify(crop, photo, aligned=True)


def test_in_a_batch_a_photo_is_a_result(run, crop: Path, photo: Path) -> None:
    outcome = run("embed", crop, photo, "--aligned", "--json")
    assert outcome.code == 1
    assert [row["reason"] for row in outcome.json] == [None, "not-aligned"]


def test_crops_are_enrolled_and_identified(run, tmp_path: Path, crop: Path, mirrored: Path) -> None:
    gallery = tmp_path / "door.gallery"
    assert run("enroll", crop.parent.parent, "--gallery", gallery, "--aligned").code == 0
    outcome = run(
        "identify", mirrored, "--gallery", gallery, "--aligned", "--fpir", "0.1", "--json"
    )
    assert outcome.code == 0
    assert outcome.json["photos"][0]["faces"][0]["person"] == "Eileen"
    assert not any("--detector" in warning for warning in outcome.json["warnings"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("embed", "."),
        ("verify", "a.png", "b.png"),
        ("enroll", ".", "--gallery", "g.gallery"),
        ("identify", ".", "--gallery", "g.gallery"),
        ("cluster", ".", "--out", "sorted"),
        ("calibrate", "--unlabelled", ".", "--name", "door"),
        ("evaluate", "pairs", "pairs.csv"),
        ("evaluate", "folders", "."),
        ("evaluate", "identify", "."),
        ("evaluate", "cluster", "."),
    ],
    ids=" ".join,
)
def test_every_command_passes_it_on(
    run, crop: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    asked: dict[str, Any] = {}

    def recognizer(**options: Any) -> None:
        asked.update(options)
        raise OptionError("enough", "stop here")

    people = crop.parent.parent
    (people / "Other").mkdir()
    for other in ("Eileen/b.png", "Other/c.png"):
        Image.open(crop).save(people / other)
    (people / "pairs.csv").write_text(
        "a,b,same\nEileen/crop.png,Eileen/b.png,1\nEileen/crop.png,Other/c.png,0\n"
    )
    SqliteGallery(people / "g.gallery", create=True).close()
    monkeypatch.setattr("visavis.pipeline.Recognizer", recognizer)
    monkeypatch.setattr("visavis.identification.models.Recognizer", recognizer)
    monkeypatch.chdir(people)
    outcome = run(*arguments, "--aligned")
    assert (outcome.code, "enough" in outcome.err) == (2, True), outcome.err
    assert asked["aligned"] is True
