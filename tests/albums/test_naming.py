"""Names that a gallery gives to clusters: how often strangers get one, and by what score."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.albums.collection import SETTINGS
from tests.decision.conftest import simulate

from visavis.albums.judging import judge
from visavis.albums.naming import gallery_names
from visavis.albums.records import Album
from visavis.decision.labelled import Provenance, calibrate
from visavis.decision.pair_scores import all_pairs
from visavis.decision.profile import Calibration
from visavis.decision.strangers import measure_strangers
from visavis.errors import GalleryError
from visavis.gallery.records import NewFace
from visavis.gallery.sqlite import SqliteGallery

ENROLLED, PHOTOS, CLUSTERS = 40, 3, 400
MOST = 25
POPULATION = {"dimension": 32, "noise": 1.0, "centre": 0.6}
"""A weak model: with it the score of a mean template grows by much with the number of faces."""
MODEL, SHA256 = SETTINGS.model, SETTINGS.model_sha256


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    x, who = simulate(np.random.default_rng(0), 400, each=2, **POPULATION)
    return calibrate(
        all_pairs(x, who),
        Provenance("toy", MODEL, SHA256, "plain", "toys", 800),
        replicates=100,
        strangers=measure_strangers(x, who, draws=2),
    )


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    """``(people, photos, D)``: the first are enrolled, the others strangers."""
    people = ENROLLED + CLUSTERS
    x, _ = simulate(np.random.default_rng(1), people, each=MOST, **POPULATION)
    return x.reshape(people, MOST, -1)


@pytest.fixture
def gallery(tmp_path: Path, photos: np.ndarray) -> Iterator[SqliteGallery]:
    with SqliteGallery(tmp_path / "family", create=True) as store:
        store.add(
            [
                NewFace(f"p{k}", vector, MODEL, SHA256)
                for k in range(ENROLLED)
                for vector in photos[k, :PHOTOS]
            ]
        )
        yield store


def album() -> Album:
    """What naming reads of one: its settings."""
    return Album(
        run=1, made="", settings=SETTINGS, files=(), faces={}, clusters=(), likely_same=(),
        merged=(), new_faces=0, corrections=0,
    )  # fmt: skip


def named(
    gallery: SqliteGallery, calibration: Calibration, clusters: np.ndarray, fpir: float
) -> tuple[dict[int, tuple[str, float]], float]:
    """Names by cluster, and the threshold, for ``(clusters, faces, D)`` templates."""
    count, faces, _ = clusters.shape
    numbers = np.repeat(np.arange(count), faces)
    judged = judge(clusters.reshape(count * faces, -1), numbers, np.ones(len(numbers)))
    names, point = gallery_names(album(), judged, gallery, calibration=calibration, fpir=fpir)
    return {k: (one.name, one.score) for k, one in names.items()}, point.threshold


@pytest.mark.parametrize("faces", [1, 3, 7, 12, MOST])
def test_clusters_of_strangers_are_named_no_more_often_than_stated(
    gallery: SqliteGallery, calibration: Calibration, photos: np.ndarray, faces: int
) -> None:
    names, _ = named(gallery, calibration, photos[ENROLLED:, :faces], 0.1)
    assert len(names) <= 2 * 0.1 * CLUSTERS


@pytest.mark.parametrize("faces", [3, 12, MOST - PHOTOS])
def test_clusters_of_enrolled_people_get_their_name(
    gallery: SqliteGallery, calibration: Calibration, photos: np.ndarray, faces: int
) -> None:
    names, _ = named(gallery, calibration, photos[:ENROLLED, PHOTOS : PHOTOS + faces], 0.1)
    right = sum(name == f"p{k}" for k, (name, _) in names.items())
    assert right >= 0.75 * ENROLLED
    assert right >= len(names) - 1


def test_the_score_is_the_mean_of_the_faces(
    gallery: SqliteGallery, calibration: Calibration, photos: np.ndarray
) -> None:
    names, threshold = named(gallery, calibration, photos[:ENROLLED, PHOTOS:9], 0.1)
    for k, (name, score) in names.items():
        enrolled = photos[int(name[1:]), :PHOTOS].mean(axis=0)
        one_by_one = photos[k, PHOTOS:9] @ (enrolled / np.linalg.norm(enrolled))
        assert score == pytest.approx(float(one_by_one.mean()), abs=1e-4)
        assert score >= threshold


def test_a_gallery_without_templates_of_the_model_is_refused(
    tmp_path: Path, calibration: Calibration, photos: np.ndarray
) -> None:
    with SqliteGallery(tmp_path / "other", create=True) as store:
        store.add([NewFace("p", photos[0, 0], "other", "cd" * 32)])
        with pytest.raises(GalleryError, match="nobody enrolled by model toy"):
            named(store, calibration, photos[:1, :1], 0.1)
