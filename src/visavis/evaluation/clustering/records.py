"""Result records of clustering evaluations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.metrics.clustering import ClusteringScores
from visavis.types import Record


@dataclass(frozen=True, slots=True)
class ClusteringRow(Record):
    """The metrics at one setting.

    Attributes:
        false_merge: the false-merge rate; ``None`` for given labels.
        default: whether this is the requested setting.
        seconds: wall time of clustering only, without embedding.
        scores: its metrics.
        plain: whether templates are plain; otherwise they are centered on their own mean.
    """

    false_merge: float | None
    default: bool
    seconds: float
    scores: ClusteringScores
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Sizes(Record):
    """Number of people and clusters by size, in classes of doubling size.

    Attributes:
        names: the classes: ``1``, ``2``, ``3–4``, ``5–8``, ...
        people: number of people per class.
        clusters: number of clusters per class, at the requested setting.
    """

    names: tuple[str, ...]
    people: tuple[int, ...]
    clusters: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ClusteringSummary(Record):
    """Summary of a clustering evaluation; the content of ``--json``.

    Attributes:
        name: name of the data.
        photos: number of photos.
        faces: number of clustered faces, one per photo.
        poor: number of poor faces, which are attached last.
        people: number of people.
        failures: photos without a face, by reason; not in any metric.
        algorithm: its name, or ``as given``.
        false_merge: the false-merge rate; ``None`` for given labels.
        rows: all settings, from loose to strict.
        best: the row with the highest B-cubed F1, which cannot be known beforehand; ``None`` for
            a single setting.
        sizes: sizes of people and clusters.
        model: model name, or "".
        model_sha256: hash of its file, or "".
        pipeline_id: id of the pipeline, or "".
        calibration: origin of the thresholds, or "".
        command: the command line.
        created: time, ISO 8601 with time zone.
        version: version of visavis.
        notes: remarks for readers.
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
    best: int | None
    sizes: Sizes
    model: str = ""
    model_sha256: str = ""
    pipeline_id: str = ""
    calibration: str = ""
    command: str = ""
    created: str = ""
    version: str = ""
    notes: tuple[str, ...] = ()

    @property
    def asked(self) -> ClusteringRow:
        """Returns the row of the requested setting."""
        return next(row for row in self.rows if row.default)


@dataclass(frozen=True, slots=True, eq=False)
class LabelledFaces(Record):
    """Photos with person and cluster.

    Attributes:
        photo: the photos.
        person: true person of each.
        cluster: ``(P,)`` cluster, -1 for none.
        reason: why it has no cluster; "" if it has one.
    """

    photo: tuple[str, ...]
    person: tuple[str, ...]
    cluster: NDArray[np.int64]
    reason: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True, eq=False)
class ClusteringEvaluation:
    """A clustering evaluation.

    Attributes:
        summary: metrics.
        faces: photos with clusters, at the requested setting.
    """

    summary: ClusteringSummary
    faces: LabelledFaces

    def to_dict(self) -> dict[str, Any]:
        """Returns the summary; ``clusters.csv`` has the photos."""
        return self.summary.to_dict()


def sizes(people: NDArray[np.int64], clusters: NDArray[np.int64]) -> Sizes:
    """Counts groups in classes of doubling size.

    Args:
        people: ``(P,)`` faces of each person.
        clusters: ``(K,)`` faces of each cluster.

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
