"""``FaceClusterer``: clustering with scikit-learn's estimator API."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import validate_data

from visavis.clustering.checks import as_quality_scores
from visavis.clustering.clusterer import Constraints
from visavis.clustering.graph_linkage import GraphLinkage
from visavis.clustering.thresholds import fmr_curve_of
from visavis.decision.profile import Calibration, CalibrationStore
from visavis.errors import OptionError
from visavis.pipeline.collection import about_own_mean
from visavis.weights import WeightStore

if TYPE_CHECKING:
    from visavis.types import Vectors


class FaceClusterer(ClusterMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Clusters templates by person; the number of people is not needed.

    Thresholds come from the model's calibration; only the mean template of the collection is
    fitted. ``visavis.cluster`` does the same with photos.

    >>> X = np.stack([t.vector for t in templates])  # doctest: +SKIP
    >>> FaceClusterer(false_merge=0.01).fit_predict(X)  # doctest: +SKIP
    array([0, 1, 0, ...])

    Args:
        false_merge: accepted share of faces, in (0, 1), in the cluster of another person.
        model: registered embedder that made the templates.
        calibration: name of a saved calibration; the model's own when ``None``. Or a
            ``Calibration``, of whatever made the templates: ``model`` is not looked at then.
        center: center templates on their own mean, with 10 people or more.
        home: folder of models and calibrations; the user's data folder when ``None``.

    Attributes:
        labels_: ``(N,)`` int64, 0 to K-1 in order of first appearance; a face alone has its own.
        threshold_: score in [-1, 1] at which two faces of a collection of this size are one person.
        calibration_: the ``Calibration`` in use, centered on the collection's mean if applicable.
        n_features_in_: D.
    """

    def __init__(
        self,
        *,
        false_merge: float = 0.01,
        model: str = "sface",
        calibration: str | Calibration | None = None,
        center: bool = True,
        home: Path | None = None,
    ) -> None:
        self.false_merge = false_merge
        self.model = model
        self.calibration = calibration
        self.center = center
        self.home = home

    def fit(
        self,
        X: ArrayLike,
        y: object = None,
        *,
        quality_score: ArrayLike | None = None,
        photos: ArrayLike | None = None,
        must: ArrayLike | None = None,
        cannot: ArrayLike | None = None,
    ) -> Self:
        """Clusters the faces; ``fit_predict`` takes the same arguments and returns ``labels_``.

        Args:
            X: ``(N, D)`` templates of one model, N at least 1; rows are scaled to unit length.
            y: ignored.
            quality_score: ``(N,)`` in [0, 1], see ``visavis.faces.quality``; poor faces never join
                two clusters. ``None``: all are good.
            photos: ``(N,)`` integers, the photo of each face: two faces in one photo are two
                people. ``None``, or -1 for a face: unknown.
            must: ``(M, 2)`` rows of faces of one person.
            cannot: ``(C, 2)`` rows of faces of two people.

        Raises:
            ValueError: wrong shapes, numbers that are not finite, or templates of another length
                than the model's (as ``OptionError`` where scikit-learn does not check it).
            ConstraintError: the constraints contradict each other or name an unknown face.
            UnknownModelError, UnknownCalibrationError: unknown name.
        """
        array = validate_data(self, X, dtype=[np.float64, np.float32])
        known = self._known(array.shape[1])
        vectors = _unit(array)
        usable = as_quality_scores(quality_score, len(vectors))
        own = about_own_mean(known, vectors, usable) if self.center else known
        curve = fmr_curve_of(own.points, own.reference)
        chosen = GraphLinkage(curve, false_merge_rate=self.false_merge)
        rows = {
            name: None if given is None else np.asarray(given, np.int64)
            for name, given in (("photos", photos), ("must", must), ("cannot", cannot))
        }
        constraints: dict[str, Any] = {k: v for k, v in rows.items() if v is not None}
        self.labels_: NDArray[np.int64] = chosen.cluster(
            own.project(vectors), quality_score=usable, constraints=Constraints(**constraints)
        )
        self.threshold_ = curve.for_faces(
            len(np.unique(self.labels_)), false_merge_rate=self.false_merge
        )
        self.calibration_ = own
        return self

    def _known(self, dimension: int) -> Calibration:
        if isinstance(self.calibration, Calibration):
            return self.calibration
        entry = WeightStore(self.home).entry(self.model)
        if entry.dimension != dimension:
            raise OptionError(
                f"templates of {dimension} numbers for model {entry.name}, which makes "
                f"{entry.dimension}",
                "name the model that made them: model=...",
            )
        known = CalibrationStore(self.home).for_model(
            self.calibration, model=entry.name, model_sha256=entry.sha256, pipeline_id=""
        )
        known.require_model(entry.name, entry.sha256)
        return known


def _unit(array: NDArray[np.floating[Any]]) -> Vectors:
    length = np.linalg.norm(array, axis=1, keepdims=True)
    none = np.flatnonzero(length == 0)
    if len(none):
        raise OptionError(f"template {none[0]}, all zeros", "leave out faces that have none")
    vectors: Vectors = (array / length).astype(np.float32)
    return vectors
