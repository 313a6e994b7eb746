"""Names that a gallery gives to clusters: how often strangers get one, and by what score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.albums.collection import SETTINGS
from tests.decision.conftest import simulate

from visavis.albums.naming import gallery_names
from visavis.albums.records import Album, AlbumCluster, AlbumFace
from visavis.decision.domain import Domain
from visavis.decision.labelled import Provenance, calibrate, calibrate_people
from visavis.decision.non_mated_model import measure_non_mated
from visavis.decision.pair_scores import all_pairs
from visavis.decision.profile import Calibration
from visavis.errors import GalleryError
from visavis.gallery.records import NewFace
from visavis.gallery.sqlite.store import SqliteGallery

ENROLLED, PHOTOS, CLUSTERS = 40, 3, 400
MOST = 25
POPULATION = {"dimension": 32, "noise": 1.0, "center": 0.6}
"""A weak model: with it the score of a mean template grows by much with the number of faces."""
MODEL, SHA256 = SETTINGS.model, SETTINGS.model_sha256


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    x, who = simulate(np.random.default_rng(0), 400, each=2, **POPULATION)
    return calibrate(
        all_pairs(x, who),
        Provenance("toy", MODEL, SHA256, "plain", "toys", 800),
        replicates=100,
        non_mated=measure_non_mated(x, who, draws=2),
    )


@pytest.fixture(scope="module")
def centered() -> Calibration:
    """Of the same people, and what they showed about their mean."""
    x, who = simulate(np.random.default_rng(0), 200, each=2, **POPULATION)
    made = Provenance("toy", MODEL, SHA256, "plain", "toys", 400)
    return calibrate_people(x, who, made, center=False)


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


def album(count: int, faces: int) -> Album:
    """What naming reads of one: its settings, and ``count`` clusters of as many faces each."""
    members = np.arange(count * faces).reshape(count, faces).tolist()
    return Album(
        run=1, made="", settings=SETTINGS, files=(), likely_same=(), merged=(), new_faces=0,
        faces={
            face: AlbumFace(face, "", 1, (0, 0, 1, 1), quality_score=1.0, cluster=k)
            for k, own in enumerate(members)
            for face in own
        },
        clusters=tuple(
            AlbumCluster(k, "", "", 0.0, tuple(own), len(own), 0.0, 0)
            for k, own in enumerate(members)
        ),
        corrections=0,
    )  # fmt: skip


def named(
    gallery: SqliteGallery, calibration: Calibration, clusters: np.ndarray, fpir: float
) -> tuple[dict[int, tuple[str, float]], float]:
    """Names by cluster, and the threshold, for ``(clusters, faces, D)`` templates."""
    count, faces, _ = clusters.shape
    vectors = dict(enumerate(clusters.reshape(count * faces, -1)))
    names, point = gallery_names(
        album(count, faces), vectors, gallery, calibration=calibration, fpir=fpir
    )
    return {k: (one.name, one.score) for k, one in names.items()}, point.threshold


@pytest.mark.parametrize("faces", [1, 3, 7, 12, MOST])
def test_clusters_of_strangers_are_named_no_more_often_than_stated(
    gallery: SqliteGallery, calibration: Calibration, photos: np.ndarray, faces: int
) -> None:
    names, _ = named(gallery, calibration, photos[ENROLLED:, :faces], 0.1)
    assert len(names) <= 2 * 0.1 * CLUSTERS


@pytest.mark.parametrize("faces", [1, MOST])
def test_so_it_is_about_the_gallerys_own_mean(
    gallery: SqliteGallery, centered: Calibration, photos: np.ndarray, faces: int
) -> None:
    names, _ = named(gallery, centered, photos[ENROLLED:, :faces], 0.1)
    assert len(names) <= 2 * 0.1 * CLUSTERS
    own, _ = named(gallery, centered, photos[:ENROLLED, PHOTOS : PHOTOS + 5], 0.1)
    assert sum(name == f"p{k}" for k, (name, _) in own.items()) >= 0.75 * ENROLLED


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


@pytest.mark.parametrize("space", ["own", "two sides", "whitened"])
def test_about_a_mean_each_face_is_centered_before_the_scores_are_averaged(
    gallery: SqliteGallery, centered: Calibration, photos: np.ndarray, space: str
) -> None:
    rng = np.random.default_rng(8)
    enrolled = photos[:ENROLLED, :PHOTOS]
    mean, other = enrolled.mean(axis=(0, 1)), photos[:, 9:].mean(axis=(0, 1)) / 2
    half = np.eye(32) + rng.normal(size=(32, 32)) / 12
    mean_a = mean_b = mean * ENROLLED / (ENROLLED + 10)
    map_, calibration = np.eye(32), centered
    if space != "own":
        mean_a, mean_b = mean, other
        map_ = half @ half.T if space == "whitened" else map_
        domain = Domain(
            mean_a.astype(np.float32), 9, 9, mean_b=mean_b.astype(np.float32),
            whitening=map_.astype(np.float32),
        )  # fmt: skip
        calibration = centered.about(domain)
        calibration = replace(calibration, domain=domain)
    names, _ = named(gallery, calibration, photos[:ENROLLED, PHOTOS:9], 0.5)
    assert len(names) > ENROLLED / 2
    for k, (name, score) in names.items():
        template = _unit((enrolled[int(name[1:])] - mean_a) @ map_).mean(axis=0)
        one_by_one = _unit((photos[k, PHOTOS:9] - mean_b) @ map_) @ _unit(template)
        assert score == pytest.approx(float(one_by_one.mean()), abs=1e-4)


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_a_gallery_without_templates_of_the_model_is_refused(
    tmp_path: Path, calibration: Calibration, photos: np.ndarray
) -> None:
    with SqliteGallery(tmp_path / "other", create=True) as store:
        store.add([NewFace("p", photos[0, 0], "other", "cd" * 32)])
        with pytest.raises(GalleryError, match="toy"):
            named(store, calibration, photos[:1, :1], 0.1)
