"""The space of a collection: about its own mean, where it has enough people."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtri
from sklearn.metrics import adjusted_rand_score

from visavis.clustering.graph_linkage import GraphLinkage
from visavis.clustering.thresholds import fmr_curve_of
from visavis.decision.domain import Domain
from visavis.decision.profile import Calibration, Measured
from visavis.faces.quality import POOR
from visavis.pipeline import collection
from visavis.types import OperatingPoint

DIMENSION = 64


def people(
    seed: int, photos: list[int], *, common: float = 0.0, noise: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Templates of people with so many photos each, who all share a direction."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(len(photos)), photos)
    x = rng.standard_normal((len(photos), DIMENSION))[who]
    x += noise * rng.standard_normal((len(who), DIMENSION))
    x[:, 0] += common * np.sqrt(DIMENSION)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), who


@pytest.fixture
def calibration() -> Calibration:
    """Of people with a common share of 0.3: of templates as they are, and about their mean."""

    def points(center: float) -> tuple[OperatingPoint, ...]:
        return tuple(
            OperatingPoint(
                "toy", "ab", center - float(ndtri(fmr)) / np.sqrt(DIMENSION), fmr, (0, 1), 0.1,
                "toys", 10**6, target_fmr=fmr,
            )
            for fmr in 10.0 ** -np.arange(1, 7)
        )  # fmt: skip

    return Calibration(
        "toy", "toy", "ab", "toy", "labelled", points(0.07), centered=Measured(points(0.0))
    )


def labels(calibration: Calibration, x: np.ndarray) -> np.ndarray:
    curve = fmr_curve_of(calibration.points, calibration.reference)
    return GraphLinkage(curve).cluster(calibration.project(x))


def test_each_person_counts_once_in_the_mean(calibration: Calibration) -> None:
    x, who = people(1, [40, 25, *[1] * 30, *[3] * 10], common=0.3)
    poor, _ = people(2, [1] * 50, common=3.0)
    quality_score = np.concatenate([np.ones(len(x)), np.full(50, POOR / 2)])
    found = collection.about_own_mean(calibration, np.concatenate([x, poor]), quality_score)
    means = [x[who == person].mean(axis=0) for person in range(42)]
    assert found.domain is not None
    assert (found.domain.photos, found.domain.people) == (len(x), 42)
    # Of 42 people the mean is taken by 42 / (42 + 10) of its length.
    np.testing.assert_allclose(found.domain.mean, np.sum(means, axis=0) / 52, atol=1e-6)
    assert calibration.centered is not None
    assert found.points == calibration.centered.points


def test_copies_of_photos_change_nothing(calibration: Calibration) -> None:
    x, _ = people(1, [2] * 30)
    once = collection.about_own_mean(calibration, x, np.ones(60)).domain
    copies = np.concatenate([x, np.repeat(x[:2], 8, axis=0)])
    many = collection.about_own_mean(calibration, copies, np.ones(76)).domain
    assert once is not None
    assert many is not None
    np.testing.assert_allclose(once.mean, many.mean, atol=1e-6)


def test_people_of_another_camera_are_told_apart(calibration: Calibration) -> None:
    """A direction that all photos share makes strangers of the plain templates one person."""
    x, who = people(3, [3] * 60, common=0.7)
    own = collection.about_own_mean(calibration, x, np.ones(len(x)))
    assert adjusted_rand_score(who, labels(own, x)) > 0.95
    assert adjusted_rand_score(who, labels(calibration, x)) < 0.9


def test_of_few_people_templates_stay_as_they_are(calibration: Calibration) -> None:
    few, _ = people(4, [30] * (collection.FEWEST_PEOPLE - 1))
    assert collection.about_own_mean(calibration, few, np.ones(len(few))) is calibration
    enough, _ = people(4, [30] * collection.FEWEST_PEOPLE)
    assert collection.about_own_mean(calibration, enough, np.ones(len(enough))) is not calibration
    poor = np.full(len(enough), POOR / 2)
    assert collection.about_own_mean(calibration, enough, poor) is calibration
    none = np.zeros((0, 1), np.float32)
    assert collection.about_own_mean(calibration, none, np.zeros(0)) is calibration


def test_without_scores_about_a_mean_templates_stay_as_they_are(calibration: Calibration) -> None:
    x, _ = people(5, [2] * 40)
    former = replace(calibration, centered=None)
    assert collection.about_own_mean(former, x, np.ones(80)) is former


def test_a_whitening_of_the_users_own_is_kept(calibration: Calibration) -> None:
    x, who = people(6, [2] * 40, common=0.3)
    whitening = np.diag(np.linspace(0.9, 1.1, DIMENSION)).astype(np.float32)
    mean = np.zeros(DIMENSION, np.float32)
    mean[0] = 0.26  # of people with a common share of 0.3
    assert calibration.centered is not None
    users = replace(
        calibration, points=calibration.centered.points, centered=None,
        domain=Domain(mean, 400, 200, whitening=whitening, shrinkage=0.5),
    )  # fmt: skip
    found = collection.about_own_mean(users, x, np.ones(80)).domain
    assert found is not None
    assert found.whitening is whitening
    means = [x[who == person].mean(axis=0) for person in range(40)]
    np.testing.assert_allclose(found.mean, np.sum(means, axis=0) / 50, atol=1e-6)


def test_of_many_faces_some_are_drawn(
    calibration: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, _ = people(7, [1] * 300, common=0.3)
    monkeypatch.setattr(collection, "MOST_FACES", 200)
    found = collection.about_own_mean(calibration, x, np.ones(300))
    assert found.domain is not None
    assert found.domain.photos == 200
    again = collection.about_own_mean(calibration, x, np.ones(300)).domain
    assert again is not None
    np.testing.assert_array_equal(found.domain.mean, again.mean)
