"""What an evaluation of clustering answers with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.metrics.clustering import ClusteringScores
from visavis.types import Record


@dataclass(frozen=True, slots=True)
class ClusteringRow(Record):
    """One algorithm at one setting.

    Attributes:
        algorithm: its name.
        false_merge: the false-merge rate asked for; ``None`` where a score was set instead.
        threshold: the score it worked at; ``None`` for the default algorithm, whose scores follow
            the number of clusters.
        fmr: the false match rate that the calibration has there, or ``None``.
        default: this is the setting that was asked for; the others were tried to see more.
        seconds: wall time of the clustering alone, templates being there.
        scores: its metrics; ``None`` where it refused.
        reason: why it refused; "" where it did not.
        plain: templates are as they are; all other rows are about the faces' own mean.
    """

    algorithm: str
    false_merge: float | None
    threshold: float | None
    fmr: float | None
    default: bool
    seconds: float
    scores: ClusteringScores | None
    reason: str = ""
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Sizes(Record):
    """How large people are and how large the clusters found, in classes of doubling size.

    Attributes:
        names: the classes: ``1``, ``2``, ``3–4``, ``5–8``, ...
        people: people in each.
        clusters: clusters in each, at the setting asked for.
    """

    names: tuple[str, ...]
    people: tuple[int, ...]
    clusters: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ClusteringSummary(Record):
    """All that is reported of a clustering; ``--json`` prints it.

    Attributes:
        name: what was clustered.
        photos: photos looked at.
        faces: faces clustered, one a photo.
        poor: faces whose usability is below the bar: attached last.
        people: people among the faces.
        failures: photos that gave no face, by reason. They are in no metric.
        algorithm: the algorithm in front.
        false_merge: the false-merge rate asked for; ``None`` for labels that were given.
        rows: every algorithm at every setting.
        best: for each algorithm, the number of the row with the highest B-cubed F1: known
            afterwards, not to be had by choosing beforehand.
        sizes: of people and of clusters.
        model: model name, or "".
        model_sha256: hash of its file, or "".
        settings: the pipeline, or "".
        calibration: where the scores came from, or "".
        command: the command line.
        created: when, ISO 8601 with its time zone.
        version: version of visavis.
        notes: sentences that a reader should know.
    """

    name: str
    photos: int
    faces: int
    poor: int
    people: int
    failures: dict[str, int]
    algorithm: str
    false_merge: float | None
    rows: tuple[ClusteringRow, ...]
    best: dict[str, int]
    sizes: Sizes
    model: str = ""
    model_sha256: str = ""
    settings: str = ""
    calibration: str = ""
    command: str = ""
    created: str = ""
    version: str = ""
    notes: tuple[str, ...] = ()

    @property
    def asked(self) -> ClusteringRow:
        """The algorithm in front at the setting asked for."""
        return next(r for r in self.rows if r.default and r.algorithm == self.algorithm)


@dataclass(frozen=True, slots=True, eq=False)
class LabelledFaces(Record):
    """Photos with who they show and which cluster they were put in.

    Attributes:
        photo: the photos.
        person: the true person of each.
        cluster: ``(P,)`` cluster found, -1 where there is none.
        reason: why there is none; "" where there is.
    """

    photo: tuple[str, ...]
    person: tuple[str, ...]
    cluster: NDArray[np.int64]
    reason: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True, eq=False)
class ClusteringEvaluation:
    """A clustering with its answers.

    Attributes:
        summary: the numbers.
        faces: photo by photo, at the setting asked for.
    """

    summary: ClusteringSummary
    faces: LabelledFaces

    def to_dict(self) -> dict[str, Any]:
        """The summary; photos are left to ``clusters.csv``."""
        return self.summary.to_dict()


def sizes(people: NDArray[np.int64], clusters: NDArray[np.int64]) -> Sizes:
    """Count groups in classes of doubling size.

    Args:
        people: ``(P,)`` faces of each person.
        clusters: ``(K,)`` faces in each cluster.

    >>> sizes(np.array([1, 1, 3, 4, 9]), np.array([2, 16]))
    Sizes(names=('1', '2', '3–4', '5–8', '9–16'), people=(2, 0, 2, 0, 1), clusters=(0, 1, 0, 0, 1))
    """
    own, found = (np.ceil(np.log2(values)).astype(np.int64) for values in (people, clusters))
    count = int(max(own.max(initial=0), found.max(initial=0))) + 1
    names = ["1", "2", *(f"{2 ** (k - 1) + 1}–{2**k}" for k in range(2, count))][:count]
    return Sizes(
        names=tuple(names),
        people=tuple(np.bincount(own, minlength=count).tolist()),
        clusters=tuple(np.bincount(found, minlength=count).tolist()),
    )
