"""A collection about its own mean: the state keeps it, and all that is judged is judged in it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from tests.albums import collection as toy

from visavis.albums.fixing import Fixer
from visavis.albums.store import AlbumStore
from visavis.albums.view import album_of
from visavis.clustering.thresholds import FmrCurve
from visavis.decision.domain import Domain

PEOPLE = 12
MEAN = (0.3 * toy.template(99, 0)).astype(np.float32)
CURVE = FmrCurve((0.1, 0.3, 0.5, 0.7), (1e-1, 1e-2, 1e-3, 1e-4))
DOMAIN = Domain(MEAN, 36, PEOPLE)
FACES = [[k % PEOPLE] for k in range(3 * PEOPLE)]


def templates() -> dict[int, np.ndarray]:
    """By number of the face; faces are numbered in the order of their photos."""
    return {k + 1: toy.template(who, k) for k, (who,) in enumerate(FACES)}


def score_of(face: int) -> float:
    """Of a face with the mean of its person's others, centered and compared by hand."""
    own = {k: v.astype(np.float64) - MEAN for k, v in templates().items()}
    own = {k: v / np.linalg.norm(v) for k, v in own.items()}
    others = [own[k] for k in own if k != face and k % PEOPLE == face % PEOPLE]
    mean = np.mean(others, axis=0)
    return float(own[face] @ mean / np.linalg.norm(mean))


@pytest.fixture
def store(tmp_path: Path) -> AlbumStore:
    store = toy.new_store(tmp_path)
    toy.run(store, toy.photos_of(FACES), domain=DOMAIN)
    return store


def test_scores_are_about_the_mean_in_the_state(store: AlbumStore) -> None:
    assert len(toy.inside(store)) == PEOPLE
    album = album_of(store, templates())
    for face in (1, 5, 36):
        assert album.faces[face].score == pytest.approx(score_of(face), abs=1e-5)


def test_a_correction_and_a_lost_cache_leave_the_space(store: AlbumStore) -> None:
    before = album_of(store, templates()).faces[1].score
    with store.changing():
        Fixer(store).name(int(toy.clusters(store)[2] or 0), "Anna")
    assert album_of(store, templates()).faces[1].score == before
    assert np.isnan(album_of(store, {}).faces[1].score)


def test_new_photos_move_the_mean_and_not_the_clusters(store: AlbumStore) -> None:
    before = toy.clusters(store)
    moved = Domain(0.8 * MEAN, 48, PEOPLE)
    toy.run(store, toy.photos_of([*FACES, *FACES[:PEOPLE]]), domain=moved)
    after = toy.clusters(store)
    assert {face: after[face] for face in before} == before
    assert set(after.values()) == set(before.values())
    last = store.last_run()
    assert last is not None
    np.testing.assert_array_equal(Domain.from_dict(last[3]["domain"]).mean, moved.mean)


def test_a_state_of_a_former_version_is_of_plain_templates(store: AlbumStore) -> None:
    last = store.last_run()
    assert last is not None
    settings, outcome = last[2:]
    del settings["mean_of_people"], outcome["domain"]
    settings["settings"], outcome["strangers"] = settings.pop("pipeline_id"), CURVE.to_dict()
    del outcome["fmr_curve"]
    with sqlite3.connect(store.path) as file:
        file.execute(
            "UPDATE run SET settings=?, outcome=?", (json.dumps(settings), json.dumps(outcome))
        )
        file.execute("UPDATE meta SET value='1' WHERE key='schema'")
    store.close()
    store = AlbumStore(store.path)
    album = album_of(store, templates())
    others = np.mean([templates()[13], templates()[25]], axis=0)
    expected = float(templates()[1] @ others / np.linalg.norm(others))
    assert album.faces[1].score == pytest.approx(expected, abs=1e-5)
    assert album.settings.mean_of_people == 0
    assert album.settings.pipeline_id == toy.SETTINGS.pipeline_id
    assert np.isfinite([pair.fmr for pair in album.likely_same]).all()
    assert album.likely_same
    toy.run(store, toy.photos_of(FACES), domain=DOMAIN)
    # A former version would score plain templates: it refuses the state from now on.
    (schema,) = sqlite3.connect(store.path).execute("SELECT value FROM meta WHERE key='schema'")
    assert schema == ("3",)


def test_a_collection_without_faces_has_no_mean_to_apply(tmp_path: Path) -> None:
    with toy.new_store(tmp_path / "empty") as store:
        toy.run(store, {}, domain=DOMAIN)
        assert album_of(store, {}).clusters == ()
