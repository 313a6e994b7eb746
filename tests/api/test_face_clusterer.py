"""``FaceClusterer``: scikit-learn's contract, and the answers of the clusterer behind it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import visavis as vv
from visavis.clustering.graph_linkage import GraphLinkage
from visavis.decision.profile import CalibrationStore
from visavis.errors import ConstraintError, OptionError, UnknownModelError

SHIPPED = CalibrationStore().load("sface-lfw")
"""Given as an object, so that any number of columns will do, as the checks want it."""


@parametrize_with_checks(
    [vv.FaceClusterer(calibration=SHIPPED)],
    expected_failed_checks=lambda _: {
        "check_estimators_dtypes": "one of its rows is all zeros, which is no template: refused"
    },
)
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def templates(people: int, photos: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors about the centers of people: of one person about 0.8, of two about 0."""
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((people, 128))
    rows = np.repeat(centers, photos, axis=0) + 0.5 * rng.standard_normal((people * photos, 128))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), np.repeat(np.arange(people), photos)


@pytest.mark.parametrize("center", [True, False])
def test_people_are_told_apart(center: bool) -> None:
    X, who = templates(30, 4)
    found = vv.FaceClusterer(center=center).fit(X)
    assert adjusted_rand_score(who, found.labels_) == 1
    assert (found.calibration_.domain is not None) == center
    assert found.labels_[0] == 0
    assert found.n_features_in_ == 128


def test_length_does_not_matter_and_direction_does() -> None:
    X, who = templates(12, 3)
    plain = vv.FaceClusterer().fit_predict(X)
    longer = vv.FaceClusterer().fit_predict(X * np.linspace(0.1, 9, len(X))[:, None])
    np.testing.assert_array_equal(plain, longer)
    assert adjusted_rand_score(who, plain) == 1


def test_it_is_the_clusterer_of_the_shipped_calibration_at_the_rate_asked_for() -> None:
    from visavis.clustering.thresholds import fmr_curve_of

    X, _ = templates(9, 3)  # too few people for a mean of their own
    want = GraphLinkage(
        fmr_curve_of(SHIPPED.points, SHIPPED.reference), false_merge_rate=0.05
    ).cluster(X.astype(np.float32))
    found = vv.FaceClusterer(false_merge=0.05).fit(X)
    np.testing.assert_array_equal(found.labels_, want)
    strict = vv.FaceClusterer(false_merge=0.001).fit(X)
    assert strict.threshold_ > found.threshold_


def test_what_is_known_of_faces_holds() -> None:
    X, who = templates(4, 3)
    model = vv.FaceClusterer()
    labels = model.fit_predict(X, cannot=[[0, 1]])
    assert labels[0] != labels[1]
    labels = model.fit_predict(X, must=[[0, 3]])
    assert labels[0] == labels[3]
    labels = model.fit_predict(X, photos=[7, 7, *[-1] * 10])
    assert labels[0] != labels[1]
    with pytest.raises(ConstraintError):
        model.fit(X, must=[[0, 1]], cannot=[[0, 1]])
    poor = model.fit_predict(X, quality_score=np.where(who == 0, 0.01, 1.0))
    assert adjusted_rand_score(who[3:], poor[3:]) == 1


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"model": "nobody's"}, UnknownModelError),
        ({"false_merge": 2}, OptionError),
    ],
)
def test_options_are_refused_in_one_line(options: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        vv.FaceClusterer(**options).fit(templates(2, 2)[0])


def test_templates_of_another_model_are_refused() -> None:
    with pytest.raises(OptionError, match="64 numbers"):
        vv.FaceClusterer().fit(templates(2, 2)[0][:, :64])
