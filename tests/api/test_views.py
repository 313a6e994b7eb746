"""Crops, previews, and distributions of scores."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import visavis
from visavis.api import views


def test_a_histogram_has_the_measured_rates() -> None:
    known = visavis.calibrations.show("sface-lfw")
    found = views.score_histogram(known)
    assert found is not None
    assert sum(found.non_mated) == pytest.approx(1, abs=1e-6)
    assert sum(found.mated) == pytest.approx(1, abs=1e-6)
    assert min(*found.non_mated, *found.mated) >= 0
    edges = np.array(found.edges)
    for point in known.points:
        if point.fmr < 1e-3:
            continue
        above = np.array(found.non_mated)[edges[:-1] >= point.threshold].sum()
        around = np.array(found.non_mated)[edges[1:] > point.threshold].sum()
        # Interpolated between the twelve quantiles that a calibration holds.
        assert above * 0.75 <= point.fmr <= around * 1.35


def test_a_preview_is_upright_and_small(portrait: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter
    Image.fromarray(portrait[:256]).save(path, exif=exif)
    found, size = views.preview(path, longest=128)
    assert size == (256, 512)
    assert Image.open(io.BytesIO(found)).size == (64, 128)


def test_a_crop_is_the_aligned_face(portrait: np.ndarray) -> None:
    (face,) = visavis.detect(portrait)
    assert views.crop(portrait, face).shape == (112, 112, 3)
    again = visavis.embed(views.crop(portrait, face), aligned=True)[0]
    assert float(again.vector @ visavis.embed(portrait)[0].vector) > 0.97


def test_photos_of_known_people_give_a_curve(peers: Path, tmp_path: Path) -> None:
    train = peers / "face_recognition" / "examples" / "knn_examples" / "train"
    folder = tmp_path / "people"
    shutil.copytree(train, folder)
    shutil.copy(train / "obama" / "obama.jpg", folder / "obama" / "again.jpg")  # counts once
    (folder / "obama" / "bad.jpg").write_bytes(b"no photo")
    found = views.examine(folder, workers=1)
    photos = sum(1 for _ in train.rglob("*.jp*g"))
    assert (found.photos, found.failures) == (photos, 1)
    assert sorted(found.people) == sorted(p.parent.name for p in train.rglob("*.jp*g"))
    assert found.check is None
    assert "50" in (found.reason or "")
    assert found.roc[-1] == (1.0, 1.0)
    assert sum(found.scores.mated) == pytest.approx(1)
    flat = tmp_path / "flat"
    flat.mkdir()
    for k, path in enumerate(sorted(train.rglob("*.jp*g"))[:3]):
        shutil.copy(path, flat / f"{k}.jpg")
    unknown = views.examine(flat, workers=1)
    assert unknown.people == ("", "", "")
    assert unknown.roc == ()
    assert unknown.scores.mated == ()
    assert unknown.plane == ()
